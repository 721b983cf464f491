"""Phase or protocol: what moves the border of amentia and the line, and what does not."""

from criticality.papers.findings.protocol.measured import OWN, STUDIES, TITLE, draw, measure, say

__all__ = ["OWN", "STUDIES", "TITLE", "draw", "measure", "say"]
