"""The command `criticality`: results on stdout, progress on stderr.

Exit codes: 0 done, 1 some tasks failed or the disk or the executor was lost, 2 bad input, 128 and
the number of the signal that ended it (130 after Ctrl-C).  Commands import what they need
themselves, so that `--help` answers at once.
"""

# in the order in which --help lists them
from criticality.cli import study  # isort: skip
from criticality.cli import store  # isort: skip
from criticality.cli import cluster  # isort: skip
from criticality.cli import phases  # isort: skip
from criticality.cli import threshold  # isort: skip
from criticality.cli import search  # isort: skip
from criticality.cli import figures  # isort: skip
from criticality.cli import scaling  # isort: skip
from criticality.cli import report  # isort: skip
from criticality.cli import paper  # isort: skip
from criticality.cli.app import main

__all__ = [
    "cluster",
    "figures",
    "main",
    "paper",
    "phases",
    "report",
    "scaling",
    "search",
    "store",
    "study",
    "threshold",
]
