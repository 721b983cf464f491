"""Where networks with one hidden layer leave the constant solution, and where theory says so.

    python examples/wongtoi2025/onset.py

Swept down in rho along gamma = 1 - rho, 8 realizations; with two layers the last fit before the
constants shows the jump.  Then with two layers the loop at several learning rates.  Three minutes.
"""

import jax
import numpy as np
import xarray as xr
from scipy.optimize import brentq

from criticality import keys
from criticality.base import Task, canonical
from criticality.engine import ensemble
from criticality.systems import MeanVarianceSweep
from criticality.systems.mean_variance import stability, sweep
from criticality.systems.mean_variance.model.parts import split

SETTLE = (0.97, 0.93, 0.9, 0.87)
DOWN = tuple(np.round(np.arange(0.85, 0.58, -0.005), 4))
FITTED = 1e-8  # mean energy above which the mean is no constant


def predicted(task):
    """Find rho at which the constant mean becomes unstable, for the samples of this task."""
    key = jax.random.wrap_key_data(keys.words(task.lineage), impl="threefry2x32")
    train = split(task.system, key, {}).train
    x, y = np.asarray(train.x[0], float), np.asarray(train.y, float)
    return brentq(lambda rho: stability.margins(x, y, rho, 1 - rho)[0] - 1, 0.1, 0.99)


for depth in (1, 2):
    system = canonical(
        MeanVarianceSweep(), depth=depth, epochs=8000, half_cycle=250, rho=(*SETTLE, *DOWN)
    )
    tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(8)]
    print(f"hidden layers: {depth}")
    for task, found in zip(tasks, ensemble.realize(tasks, {}), strict=True):
        last = np.flatnonzero(found["mean_energy"] > FITTED)[-1]
        lost, kept = system.rho[last + 1], system.rho[last]
        theory = f", theory {predicted(task):.4f}" if depth == 1 else ""
        print(
            f"  constant between rho = {lost:g} and {kept:g}{theory}; "
            f"1 - MSE at {kept:g}: {1 - found['train_mse'][last]:.4f}"
        )

print(
    "two hidden layers, learning rates from low to high: where the loop of the default sweep lies"
)
for low, high in ((1e-4, 1e-3), (3e-4, 3e-3), (1e-3, 1e-2), (3e-3, 3e-2)):
    system = canonical(
        MeanVarianceSweep(), epochs=8000, half_cycle=250, rate_low=low, rate_high=high
    )
    tasks = [Task(system=system, seed=0, realization=r, checksum="") for r in range(8)]
    mse = [found["train_mse"] for found in ensemble.realize(tasks, {})]
    legs = sweep.legs(
        xr.DataArray(np.array(mse), dims=("realization", "rho"), coords={"rho": list(system.rho)})
    )
    for name, leg in legs.items():
        places = sweep.passing(leg).values
        known = places[np.isfinite(places)]
        said = "never left" if name == "up" and not len(known) else "never reached"
        if len(known):
            error = known.std(ddof=1) / len(known) ** 0.5
            said = f"ln rho/(1-rho) = {known.mean():.2f} +- {error:.2f}"
        print(f"  {low:g} to {high:g}, {name}: {said} ({len(known)} of 8)")
