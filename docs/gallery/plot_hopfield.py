"""
A Hopfield network forgets where theory says
============================================

A network of N spins keeps patterns as its weights (the restricted Boltzmann machine with gaussian
hidden units, :doc:`/rbm`). Up to a load of patterns a spin it retrieves them, beyond it forgets
all at once. The theory of Amit, Gutfreund and Sompolinsky has no free parameter, and its lines are
computed here, too.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from criticality import Study, run
from criticality.systems import RBM
from criticality.systems.rbm import theory

# %%
# At zero temperature the capacity is 0.138, and the overlap that is left there 0.967.

hopfield = theory.Model()
print("capacity", theory.spinodal(hopfield, 0.0))
assert abs(theory.spinodal(hopfield, 0.0) - 0.137906) < 1e-5

# %%
# Sampled networks begin at a pattern; how much of it is left?

T = 0.2
study = Study(
    system=RBM(start=(1.0,), copies=2, equilibration=150, sweeps=50, temperature=T),
    grid={"spins": [100, 400], "load": [0.02, 0.05, 0.08, 0.11, 0.14, 0.2]},
    realizations=6,
)
with tempfile.TemporaryDirectory() as folder:
    ds = run(study, folder, workers=1)
kept = ds["overlap"].squeeze()

# %%
# Left: overlap against load, bars are standard errors over networks; the line is the theory of
# infinite N, and ends where retrieval does. Networks of finite size forget more gradually. Right:
# the lines over the whole plane.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for N, colour, marker in ((100, "#56b4e9", "o"), (400, "#0072b2", "s")):
    values = kept.sel(spins=N)
    mean, error = values.mean("realization"), values.std("realization", ddof=1) / np.sqrt(6)
    left.errorbar(kept["load"], mean, error, fmt=marker, color=colour, label=f"N = {N}")
edge = theory.spinodal(hopfield, T)
loads = np.linspace(0.002, edge, 25)
left.plot(loads, [theory.solve(hopfield, T, load).m for load in loads], "k", label="theory")
left.axvline(edge, color="0.5", ls=":")
left.set(xlabel="load P/N", ylabel="overlap with the pattern", title=f"T = {T}")
left.legend()

temperatures = np.linspace(0.02, 0.98, 13)
right.plot([theory.spinodal(hopfield, t) for t in temperatures], temperatures, label="metastable")
right.plot(
    [theory.global_line(hopfield, t) for t in temperatures], temperatures, "--", label="global"
)
right.plot(np.linspace(0, 0.2, 40), 1 + np.sqrt(np.linspace(0, 0.2, 40)), "k:", label="spin glass")
right.set(xlabel="load P/N", ylabel="temperature T", xlim=(0, 0.2))
right.legend(title="retrieval, and below")
plt.show()

deep = kept.sel(spins=400, load=0.05)
assert abs(deep.mean() - theory.solve(hopfield, T, 0.05).m) < 0.02
assert kept.sel(spins=400, load=0.2).mean() < 0.6
