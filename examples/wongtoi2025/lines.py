"""What searches along lines of the plane lose against one of the whole plane.

python examples/wongtoi2025/lines.py STORE...: stores of tables.toml, to which `criticality tune
mean_variance --set dataset=... --store STORE` has added the points of the line rho = 1 - gamma.
"""

import sys

from criticality import Store
from criticality.analysis.search import loss, split_share
from criticality.systems import MeanVarianceNetwork
from criticality.systems.mean_variance.network import LINE

RHO = (0.5, 0.7, 0.8, 0.87, 0.92, 0.95, 0.97, 0.99, 0.998)
PATHS = {"rho = 1 - gamma": {"rho": LINE, "gamma": tuple(round(1 - rho, 9) for rho in LINE)}}
PATHS |= {f"gamma = {g}": {"rho": RHO, "gamma": (g,) * len(RHO)} for g in (0.3, 0.5, 0.7, 0.87)}
SHOWN = ("test_crps", "test_ece", "test_nll")

for store in sys.argv[1:]:
    ds = Store(store).open(observables=["validation_crps", *SHOWN])
    share = split_share(ds, MeanVarianceNetwork.card.search)
    for name, path in PATHS.items():
        found = loss(ds, "validation_crps", SHOWN, path, share=share)
        lost = ", ".join(f"{shown} {found.differences[shown]}" for shown in SHOWN)
        print(f"{store}, {name} ({found.points} of {found.of} points): {lost}")
