"""
A system of your own, and phases as probabilities
=================================================

A walker starts at one of the sites 1 to 9, and leaves at site 0 or at site 10. Every realization
has a phase of its own, the exit, so that a point of the plane has *probabilities* of phases. The
exact ones are those of the gambler's ruin.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from criticality import Observable, Phase, Rule, Study, control, figures, phase_diagram, run, system

EVER = 1e9  # +inf says "did not happen", and is above any threshold


@system(
    observables=(
        Observable(name="left", unit="step", doc="first step at site 0", censored=True),
        Observable(name="right", unit="step", doc="first step at site 10", censored=True),
    ),
    plane=("bias", "start"),
    phases=(Phase(name="left exit"), Phase(name="right exit")),
    rules=(
        Rule(phase="left exit", quantity="left", of="each", below=EVER),
        Rule(phase="right exit", quantity="right", of="each", below=EVER),
    ),
)
def walker(
    rng,
    bias=control(0.0, doc="mean of a step", interval="[-1, 1]"),
    start=control(5, doc="first site", interval="[1, 9]"),
):
    """A random walk between two exits."""
    site = start + np.cumsum(np.where(rng.random(2000) < (1 + bias) / 2, 1, -1))
    out = np.flatnonzero((site == 0) | (site == 10))[:1]
    left, right = (out[site[out] == end] + 1.0 for end in (0, 10))
    return {"left": min(left, default=np.inf), "right": min(right, default=np.inf)}


study = Study(
    system=walker(),
    grid={"bias": [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3], "start": [1, 3, 5, 7, 9]},
    realizations=20,
)
with tempfile.TemporaryDirectory() as folder:
    found = phase_diagram(run(study, folder, workers=1), walker)

# %%
# Colours are the exit that most walkers took; hatched, it is not significantly more than the
# other. Dotted: where both are equally probable, exactly.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
figures.phase_map(found, left)
bias = np.linspace(-0.35, 0.35, 200)
bias = bias[np.abs(bias) > 1e-3]
odds = (1 - bias) / (1 + bias)
left.plot(bias, np.log((1 + odds**10) / 2) / np.log(odds), "k:")

# %%
# Probabilities with their intervals (Clopper and Pearson, 95 %), and the exact line, at no bias:
# start/10.

cells = found.cells.sel(bias=0.0)
value = cells["probability_right_exit"]
low, high = cells["probability_right_exit_low"], cells["probability_right_exit_high"]
right.errorbar(cells["start"], value, [value - low, high - value], fmt="o")
right.plot([0, 10], [0, 1], "k:")
right.set(xlabel="start", ylabel="probability of the right exit", title="no bias")
plt.show()
exact = cells["start"] / 10
assert ((low <= exact) & (exact <= high)).sum() >= 4  # of 5 intervals of 95 %
