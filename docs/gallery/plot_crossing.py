"""
Binder cumulants cross at the critical point
============================================

N Ising spins that are all coupled: the distribution of their magnetisation m is known, so that m
can be drawn exactly, without a Markov chain. The cumulant 1 - <m^4>/(3 <m^2>^2) is the same for
all sizes at T_c = 1, where it is 1 - Gamma(1/4)^4 / (24 pi^2) = 0.2705 for N to infinity: no
exponent is needed to find T_c.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import gamma, gammaln

from criticality import ScalingData, crossings, figures
from criticality.analysis.scaling import binder_curves


def magnetisations(rng, T, N, number):
    """Draw m of so many independent systems from exp(N m^2 / 2T) and the number of its states."""
    up = np.arange(N + 1)
    m = 2 * up / N - 1
    log = gammaln(N + 1) - gammaln(up + 1) - gammaln(N - up + 1) + N * m**2 / (2 * T)
    weight = np.exp(log - log.max())
    return rng.choice(m, size=number, p=weight / weight.sum())


rng = np.random.default_rng(2)
columns = []
for N in (256, 1024, 4096):
    for T in np.linspace(0.94, 1.06, 13):
        m = magnetisations(rng, T, N, 10_000)
        columns.append(np.stack([np.full_like(m, T), np.full_like(m, N), np.arange(m.size), m]))
T, N, system, m = np.concatenate(columns, axis=1)
data = ScalingData.from_samples(T, N, system, m, names=("T", "N", "m"))

# %%
# Cumulants are no means, so their errors come from resampling whole systems.

cumulants = binder_curves(data, "magnetic")
found = crossings(cumulants)
for crossing in found.crossings:
    print(crossing.sizes, crossing.at, *crossing.flags)

# %%
# The crossing of the two largest sizes is clean, and at T = 1 within its interval of 95 %.

last = found.crossings[-1]
assert not last.flags
assert last.at.low < 1 < last.at.high

_, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
figures.curves(cumulants, found, ax=ax)
ax.axhline(1 - gamma(1 / 4) ** 4 / (24 * np.pi**2), color="0.5", lw=0.8, ls=":")
ax.set_ylabel("Binder cumulant of m")
plt.show()
