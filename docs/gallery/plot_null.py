"""
A null control: curves without a transition
===========================================

A tool that finds transitions must not find any where there is none. These made-up curves rise with
p, and the more steeply the larger the size; but the steepening ends. On two sizes that is easily
taken for a transition.
"""

import matplotlib.pyplot as plt
import numpy as np

from criticality import Algebraic, ScalingData, collapse, compare, figures

rng = np.random.default_rng(3)
p, L, number = (
    a.ravel()
    for a in np.meshgrid(np.linspace(0.3, 0.7, 13), (500, 1000, 2000, 4000, 8000), range(20))
)
steepness = 8 / (1 + 1000 / L)  # ends at 8
y = np.tanh(steepness * (p - 0.5)) + 0.05 * rng.normal(size=p.size)
data = ScalingData.from_samples(p, L, number, y, names=("p", "L", "y"))

# %%
# A collapse always gives a p_c and a nu. Of the two largest sizes it even fits:

fit = collapse(data, Algebraic(), size_min=4000)
print(fit)
assert fit.p_value > 0.01

# %%
# Only a comparison with forms that have no transition says what that is worth. The verdict takes a
# lead of 5 in ln Z over all of them.

comparison = compare(data)
print(comparison.verdict, "-", comparison.reason)
assert comparison.verdict in ("no transition", "undecided")

# %%
# Here the smooth crossover wins. Bars are what each form is behind the best one; the shaded width
# does not decide.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
figures.curves(data, ax=left)
figures.evidence(comparison, right)
plt.show()
