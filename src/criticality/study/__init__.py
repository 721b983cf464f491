"""The plan (`Study`), the write-once results (`Store`), and the run that fills one from the other.

`run` and `estimate` need the tensor stack and are imported from `criticality.study.run` and
`criticality.study.cost`; a plan and its results do not.
"""

from __future__ import annotations

from criticality.study.journal import DamagedError
from criticality.study.plan import Study
from criticality.study.store import Store

__all__ = ["DamagedError", "Store", "Study"]
