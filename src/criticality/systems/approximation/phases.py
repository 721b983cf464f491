"""Phases by the rate p at which errors fall as W^-p: functions of smoothness r in d dimensions.

In units of r/d: up to 1 weights may be continuous in the function (DeVore, Howard and Micchelli);
up to 2 they are not, and networks of ReLUs are deep; beyond 2 there are none, since their VC
dimension is at most ~ W^2 [Yarotsky and Zhevnerchuk, arXiv:1906.09477].
"""

from __future__ import annotations

from criticality.base import Phase, Rule

CONTINUOUS, DEEP, BEYOND = "continuous", "deep discontinuous", "super-polynomial"
MARGIN = 0.1  # for constructions that are at a border, of which finite sizes shift the exponent
SCALED = "scaled_error"

PHASES = (
    Phase(name=CONTINUOUS, letter="C", colour="#8fd0f5"),
    Phase(name=DEEP, letter="D", colour="#e69f00"),
    Phase(name=BEYOND, letter="S", colour="#cc79a7"),
)
RULES = (
    Rule(phase=CONTINUOUS, quantity=SCALED, of="exponent", above=-1 - MARGIN),
    Rule(phase=DEEP, quantity=SCALED, of="exponent", above=-2 - MARGIN, below=-1 - MARGIN),
    Rule(phase=BEYOND, quantity=SCALED, of="exponent", below=-2 - MARGIN),
)
