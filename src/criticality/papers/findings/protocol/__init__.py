"""Phase or protocol: what moves the border of amentia and the line, and what does not.

The border: how many networks begin to learn, by training dropout, under each protocol.  The line:
where the exponent of the loss passes zero at p_train = 0, of the same sizes under each protocol.
"""

from criticality.papers.findings.protocol.answer import say
from criticality.papers.findings.protocol.figure import draw
from criticality.papers.findings.protocol.measured import BASE, BORDER, BORDERS, LINES, measure

__all__ = ["NEEDS", "OWN", "STUDIES", "TITLE", "draw", "measure", "say"]

TITLE = "Phase or protocol: what moves the border of amentia and the line?"
STUDIES = (BASE, *LINES, *BORDERS)
NEEDS = (BASE, BORDER)
OWN = dict.fromkeys(BORDERS, "criticality.papers.systems.onset:Onset")
