"""Whether networks under pruning collapse in a phase transition.

The size of a network is its width W; 784 inputs and 10 outputs do not grow with it.  If there is a
transition, then some measure of what is left (the density of edges, their number for each unit,
their number) has a critical value at which large networks collapse, they do so within a range that
shrinks as a power of W, and ever more nearly at the same place.  The null is the percolation of
random layered graphs with as many edges in each layer.
"""

from criticality.papers.findings.collapse.answer import say
from criticality.papers.findings.collapse.figure import draw
from criticality.papers.findings.collapse.measured import PROTOCOLS, measure

__all__ = ["NEEDS", "STUDIES", "TITLE", "draw", "measure", "say"]

TITLE = "Is the collapse of networks under pruning a phase transition?"
STUDIES = tuple(f"collapse_{protocol}" for protocol in PROTOCOLS)
NEEDS = STUDIES[:1]
