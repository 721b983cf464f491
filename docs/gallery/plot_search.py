"""
The best of some points, and which are as good
==============================================

A polynomial of degree 9 is fitted to 30 noisy points of a sine, its coefficients held back by a
penalty. Which penalty predicts best? A mean over realizations has an error, so the answer is a
point *and* those that are not significantly worse; and a fair number for it comes from samples
that did not choose it.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from criticality import Study, control, run, system
from criticality.analysis.search import best


@system(observables={"validation": "error of points that choose", "test": "of points that do not"})
def ridge(
    rng,
    penalty=control(
        1.0, doc="of squared coefficients", interval="(0, inf)", scale="log", shared=True
    ),
):
    """A polynomial through noisy points of a sine."""
    x = rng.uniform(-1, 1, (3, 30))
    y = np.sin(3 * x) + 0.3 * rng.normal(size=x.shape)
    powers = x[..., None] ** np.arange(10)
    matrix = powers[0].T @ powers[0] / 30 + penalty * np.eye(10)
    errors = powers @ np.linalg.solve(matrix, powers[0].T @ y[0] / 30) - y
    return dict(zip(("validation", "test"), (errors[1:] ** 2).mean(axis=1), strict=True))


penalties = [float(f"{p:.1e}") for p in np.geomspace(1e-5, 1, 11)]
study = Study(system=ridge(), grid={"penalty": penalties}, realizations=60)
with tempfile.TemporaryDirectory() as folder:
    ds = run(study, folder, workers=1)
found = best(ds, "validation", ("test",))
print("best:", found.point, "test error there:", found.shown["test"])
print("not significantly worse:", [found.points[i]["penalty"] for i in found.alike])

# %%
# ``shared=True`` gives all penalties the same points, so that differences are paired, realization
# by realization: many penalties are told apart whose error bars overlap. (With the commands:
# ``criticality tune`` and ``criticality best``.)

score = np.array([s.value for s in found.scores])
error = np.array([s.error for s in found.scores])
x = np.array([point["penalty"] for point in found.points])
alike = np.isin(np.arange(len(x)), [found.place, *found.alike])
_, ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
ax.errorbar(x, score, error, fmt="o", mfc="w", color="#0072b2", label="validation")
ax.plot(x[alike], score[alike], "o", color="#0072b2", label="the best, and those alike")
ax.axhline(0.09, color="0.5", ls=":", label="variance of the noise")
ax.set(xlabel="penalty", ylabel="mean squared error", xscale="log", ylim=(0, 0.4))
ax.legend()
plt.show()
assert 0.09 < found.shown["test"].value < 0.16
assert not {0, len(x) - 1} & {found.place}  # not at an end of what was tried
