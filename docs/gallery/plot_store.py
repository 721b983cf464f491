"""
Reading a store: xarray, pandas, errors
=======================================

A store opens as one labelled data set, with the unit and meaning of every number. All of xarray
and pandas is there; one rule holds for errors: they come from realizations, whole.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from criticality import Store, Study, control, figures, run, system


@system(observables={"distance": "from the start, after all steps"}, size="steps")
def walk(
    rng,
    drift=control(0.0, doc="mean of a step", interval="[-1, 1]"),
    steps=control(100, doc="number of steps", unit="step", interval="[1, inf)"),
):
    """A random walk on a line."""
    return {"distance": abs((drift + rng.normal(size=steps)).sum())}


folder = Path(tempfile.mkdtemp())
study = Study(
    system=walk(), grid={"drift": [0.0, 0.1], "steps": [100, 400, 1600, 6400]}, realizations=50
)
run(study, folder / "walks", workers=1)

# %%
# Anywhere, later, without the file of the system:

ds = Store(folder / "walks").open()
print(ds)

# %%
# Mean and standard error over realizations, as a table of pandas:

distance = ds["distance"]
table = (
    distance.mean("realization")
    .to_dataset(name="mean")
    .assign(error=distance.std("realization", ddof=1) / np.sqrt(distance.sizes["realization"]))
    .to_dataframe()
)
print(table.round(1))

# %%
# A walk without drift gets as far as steps^(1/2), one with drift as far as steps. ``criticality
# export`` writes the same numbers as netCDF or CSV.

_, ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
figures.against_size(distance, "steps", by="drift", ax=ax)
ax.set(xscale="log", yscale="log")
plt.show()
ratio = distance.mean("realization").sel(steps=6400) / distance.mean("realization").sel(steps=100)
assert 4 < float(ratio.sel(drift=0.0)) < 16  # 8
assert 40 < float(ratio.sel(drift=0.1)) < 80  # 64, less what is diffusion at 100 steps
