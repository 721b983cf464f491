"""Where networks and field theory begin to fit, and to overfit, along rho = 1 - gamma.

python examples/wongtoi2025/borders.py NETWORKS THEORY: stores of line.toml and theory_line.toml.
"""

import sys

import numpy as np
from scipy.special import expit, logit

from criticality import Store
from criticality.analysis.boundaries import upward_crossings
from criticality.systems.mean_variance.measures import OVERFIT, UNDERFIT


def passed(rho, values, threshold):
    """Give logit rho at the first passage of every realization; NaN where there is none."""
    found = [upward_crossings(logit(rho), row - threshold) for row in values]
    return np.array([one[0] if len(one) else np.nan for one in found])


def tell(name, ds):
    """Write both passages, ds being [realization, rho]."""
    rho, said = ds["rho"].values, []
    for quantity, sign, threshold in (
        ("train_mse", -1, UNDERFIT),
        ("test_chi2", 1, OVERFIT),
    ):
        values = sign * ds[quantity].transpose("realization", "rho").values
        at = passed(rho, values, sign * threshold)
        if np.isnan(at).any():
            said.append(f"{quantity} = {threshold:g} in {np.isfinite(at).sum()} of {len(at)} only")
            continue
        error = at.std(ddof=1) / len(at) ** 0.5
        ends = expit(at.mean() + error * np.array([0, -1, 1]))
        said.append(
            f"{quantity} = {threshold:g} at logit rho = {at.mean():.2f}({error:.2f}), "
            f"rho = {ends[0]:.4f} [{ends[1]:.4f}, {ends[2]:.4f}]"
        )
    print(f"{name}: {'; '.join(said)}; {len(at)} realizations")


def main():
    """Read both stores and write where their borders are."""
    networks, theory = (Store(folder).open() for folder in sys.argv[1:])
    pairs = networks[["train_mse", "test_chi2"]].stack(point=("rho", "gamma"), create_index=False)
    along = pairs.sel(point=np.isclose(pairs["rho"] + pairs["gamma"], 1))
    along = along.swap_dims(point="rho")
    for depth in networks["depth"].values:
        tell(f"networks of {depth} hidden layers", along.sel(depth=depth))
    for start, way in ((0.0, "up"), (1.0, "down")):
        tell(f"field theory, {way}", theory.sel(n=64, start=start))


if __name__ == "__main__":
    main()
