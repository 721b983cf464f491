"""Finite-size scaling across the eumentia-dementia line, at several training rates (Fig. 4).

    criticality run examples/pan2026/line.toml --store STORE    # four minutes on two cores
    python examples/pan2026/collapse.py STORE OUT

Where to look is fixed before any collapse: points within 0.125 of the line where alpha = 0, and
sizes from 2000 on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from criticality import BKT, ScalingData, Store, collapse, compare, phase_diagram
from criticality import figures as draw
from criticality.analysis.scaling import landscape

HALF_WIDTH = 0.125
SIZE_MIN = 2000


def main(store: str, out: str) -> None:
    """Print fits and verdicts; draw the first training rate, and the exponent at all of them."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    ds = Store(store).open()
    line = phase_diagram(ds).cells["boundary"]
    rates, fits = [], []
    for rate in (float(p) for p in ds["p_train"].values):
        centre = float(line.sel(p_train=rate))
        data = ScalingData.from_dataset(ds, "p_eval", "n_train", "loss", {"p_train": rate})
        near = {"control_range": (centre - HALF_WIDTH, centre + HALF_WIDTH), "size_min": SIZE_MIN}
        found = compare(data, **near)
        print(f"p_train = {rate:g}, alpha = 0 at p_eval = {centre:.3f}: {found.verdict}")
        print(f"  {found.reason}")
        for fit in found.fits:
            print(f"  {fit.log_evidence - found.fits[0].log_evidence:8.1f}  {fit}")
        rates.append(rate)
        fits.append(collapse(data, BKT(), draws=200, **near))
        print(f"  {fits[-1]}")
        if len(fits) == 1:
            page = Figure(figsize=(10.4, 8), layout="constrained")
            panels = [part.subplots() for part in page.subfigures(2, 2).ravel()]
            draw.curves(data, fit=fits[0], ax=panels[0])
            draw.collapsed(fits[0], panels[1])
            draw.objective(landscape(fits[0]), fits[0], panels[2])
            draw.evidence(found, panels[3])
            page.savefig(folder / "collapse.png", dpi=160)
    page = Figure(figsize=(5.2, 4), layout="constrained")
    draw.exponents(rates, fits, r"$p_\mathrm{train}$", page.subplots())
    page.savefig(folder / "exponents.png", dpi=160)


if __name__ == "__main__":
    main(*sys.argv[1:3])
