"""
Percolation: a collapse against an exact answer
===============================================

Sites of an L x L lattice are open with probability p. Above p_c = 0.592746 a cluster of open sites
joins top and bottom of an infinite lattice; of finite ones the share that is spanned is a function
of (p - p_c) L^(1/nu), with nu = 4/3. Both numbers should come out of the curves alone.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from criticality import Algebraic, ScalingData, collapse, figures
from criticality.analysis.scaling import landscape

# %%
# One row for each size, probability and realization; a realization is the share of 30 lattices.


def spans(rng, p, L):
    """Whether a cluster joins top and bottom."""
    cluster, _ = ndimage.label(rng.random((L, L)) < p)
    shared = np.intersect1d(cluster[0], cluster[-1])
    return (shared > 0).any()


rng = np.random.default_rng(1)
rows = [
    (p, L, np.mean([spans(rng, p, L) for _ in range(30)]))
    for L in (32, 64, 128)
    for p in np.linspace(0.575, 0.61, 8)
    for _ in range(12)
]
p, L, spanned = np.transpose(rows)
number = np.arange(len(rows))  # every row its own: all are independent
data = ScalingData.from_samples(p, L, number, spanned, names=("p", "L", "spanned"))

# %%
# The fit knows no exact value. Errors are those of its posterior.

fit = collapse(data, Algebraic())
print(fit)
assert fit.params["p_c"].low < 0.592746 < fit.params["p_c"].high
assert fit.params["nu"].low < 4 / 3 < fit.params["nu"].high

# %%
# Curves with the interval of p_c, the same curves over the scaling variable, and the posterior of
# both parameters. A collapse that looks good is no proof: look at chi2/dof and p, and at how
# narrow the landscape is.

_, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
figures.curves(data, fit=fit, ax=left)
figures.collapsed(fit, middle)
figures.objective(landscape(fit), fit, right)
plt.show()
