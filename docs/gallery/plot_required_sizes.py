"""
What would decide?
==================

Over a decade of sizes, a power law with a large nu and a BKT form are one curve. Where a verdict
is *undecided*, the next question is which measurement would change that: how many realizations,
and how large a size.
"""

import matplotlib.pyplot as plt
import numpy as np

from criticality import BKT, Algebraic, ScalingData, compare, figures, required_sizes

# %%
# Made-up curves that are a BKT form exactly, with sigma = 1 and p_c = 0.5.

rng = np.random.default_rng(4)
p, L, number = (
    a.ravel() for a in np.meshgrid(np.linspace(0.3, 0.7, 11), (500, 1000, 2000, 4000), range(10))
)
y = np.tanh(0.6 * (p - 0.5) * np.log(L)) + 0.08 * rng.normal(size=p.size)
data = ScalingData.from_samples(p, L, number, y, names=("p", "L", "y"))
comparison = compare(data)
print(comparison.verdict, "-", comparison.reason)
assert comparison.verdict == "undecided"

# %%
# Each of two forms is taken for the truth in turn, and measured anew in a larger study with the
# noise of this one. A design decides if the expected lead, less one standard deviation of it, is
# above 5.

designs = required_sizes(data, forms=(Algebraic(), BKT()), extra=(0, 2), more=(1, 16))
for design in designs:
    decides = design.delta - design.spread > 5
    print(
        f"largest size {max(design.sizes):7.0f}, {design.realizations:4d} realizations: "
        f"ln Z differs by {design.delta:5.1f} +- {design.spread:.1f}",
        "decides" if decides else "",
    )
present = next(d for d in designs if max(d.sizes) == 4000 and d.realizations == 10)
assert present.delta - present.spread < 5  # what we have does not

_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
figures.curves(data, ax=left)
figures.evidence(comparison, right)
plt.show()
