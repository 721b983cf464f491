"""Phases by the rate p at which errors fall as W^-p: functions of smoothness r in d dimensions.

In units of r/d: up to 1 weights may be continuous in the function (DeVore, Howard and Micchelli);
up to 2 they are not, and networks of ReLUs are deep; beyond 2 there are none, since their VC
dimension is at most ~ W^2 [Yarotsky and Zhevnerchuk, arXiv:1906.09477].  Only the exponent is
judged, not whether weights jump.
"""

from __future__ import annotations

from criticality.base import Phase, Rule

CONTINUOUS, DEEP = "continuous", "deep discontinuous"
INFEASIBLE = "infeasible"  # of ReLUs: what is measured there is an effect of size, or a mistake
BEYOND = "super-polynomial"  # with periodic units
MARGIN = 0.1  # for constructions that are at a border, of which finite sizes shift the exponent
SCALED, SIZE, USED = "scaled_error", "weights", "weights_used"
CLASSIFY = "criticality.systems.approximation.distinct:classify"

_SLOW = (
    Phase(name=CONTINUOUS, letter="C", colour="#8fd0f5"),
    Phase(name=DEEP, letter="D", colour="#e69f00"),
)
PHASES = (*_SLOW, Phase(name=INFEASIBLE, letter="I", colour="#999999"))
PERIODIC = (*_SLOW, Phase(name=BEYOND, letter="S", colour="#cc79a7"))


def _rules(fast: str) -> tuple[Rule, ...]:
    return (
        Rule(phase=CONTINUOUS, quantity=SCALED, of="exponent", above=-1 - MARGIN),
        Rule(phase=DEEP, quantity=SCALED, of="exponent", above=-2 - MARGIN, below=-1 - MARGIN),
        Rule(phase=fast, quantity=SCALED, of="exponent", below=-2 - MARGIN),
    )


RULES, PERIODIC_RULES = _rules(INFEASIBLE), _rules(BEYOND)
