"""Why more fine-tuning makes a network collapse earlier under pruning.

The explanation on trial: Adam at a constant rate keeps moving every weight of a network that fits
its training set; weights grow, those of the first layer catch up with the others; magnitude then
takes nearly the same share of each layer, and cuts the small hidden ones to pieces.  `predictions`
says what it forbids.
"""

from criticality.papers.findings.tuning.answer import say
from criticality.papers.findings.tuning.figure import draw
from criticality.papers.findings.tuning.measured import measure

__all__ = ["NEEDS", "STUDIES", "TITLE", "draw", "measure", "say"]

TITLE = "Why does more fine-tuning make a network collapse earlier under pruning?"
STUDIES = tuple(
    f"tuning-{name}"
    for name in ("criteria", "layer", "first", "hold", "rate", "fresh", "sgd", "weight")
)
NEEDS = ("tuning-criteria",)
