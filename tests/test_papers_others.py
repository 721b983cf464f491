"""What stands for the claims of the other papers, held against the numbers that are kept."""

import numpy as np
import pytest
import xarray as xr

from criticality.base import InputError
from criticality.papers import entry, samples, tables
from criticality.papers.fuchs2025 import lennard_jones
from criticality.papers.wongtoi2025 import regularisation
from criticality.systems.three_layer import theory


def numbers(name):
    return tables.read(entry(name).kept)[0]


def test_results_come_back_from_their_tables_with_all_that_is_said_of_them():
    values = np.arange(12.0).reshape(2, 3, 2)
    values[1, 1] = np.nan
    ds = xr.Dataset(
        {"accuracy": (("data", "p", "realization"), values, {"label": "test accuracy"})},
        coords={"data": ["mnist", "kmnist"], "p": ("p", [0.9, 0.1, 0.5], {"symbol": "$p$"})},
        attrs={"system": "one", "controls": "{}"},
    ).assign_coords(realization=[3, 4])
    ds["lag"] = ds["accuracy"].transpose() + 1
    ds["lag"].attrs["censored"] = True
    kept = tables.as_kept(samples.to_tables("t", ds, "accuracy", "lag"))
    back = samples.to_dataset(kept, "t", "accuracy", "lag")
    assert back.attrs == ds.attrs
    for name in ("data", "p", "realization", "accuracy"):
        assert back[name].attrs == ds[name].attrs
    xr.testing.assert_equal(back.transpose(*ds.dims), ds.transpose(*ds.dims))
    with pytest.raises(InputError, match="lag"):
        samples.to_tables("t", ds.assign(lag=ds["lag"].mean("p")), "accuracy", "lag")


def test_binary_units_do_not_retrieve_and_what_restores_them_does():
    found = numbers("bonnaire2025/priors")
    cells = found["cells"].set_index("panel")["phase"] == 1
    share = cells.groupby("panel").mean()
    at = found["panels"].set_index("panel")
    plain = (at["prior"] == "binary") & (at["bias"] == 0)
    assert (share[plain] == 0).all()
    assert (share[~plain] > 0.05).all()
    restored = (at["scaling"] == 0) & ~plain
    assert share[restored].min() > share[at["scaling"] == 0.5].max()


def test_first_the_first_layer_condenses_then_the_second():
    found = numbers("zhou2022/regimes")
    rows = found["exponents"]
    for number, name in enumerate(("change_1", "change_2")):
        exact = [theory.exponents(0.0, gamma)[number] for gamma in rows["gamma_3"]]
        assert np.abs(rows[f"{name}_exponent"] - exact).max() < 0.15
    borders = found["borders"].set_index("quantity")["value"]
    first, second = (borders[next(n for n in borders.index if name in n)] for name in ("1", "2"))
    assert 1.3 < first < 1.8
    assert 2.6 < second < 3.2


def test_all_four_phases_of_learning_are_there_and_the_theory_needs_less_of_larger_tables():
    found = numbers("liu2022/phases")
    trainings = found["trainings"]
    assert np.isinf(trainings["t_test"]).any()  # some never generalise
    share = trainings.groupby(["decoder_rate", "decoder_decay"])[["learned", "generalized"]].mean()
    assert share["learned"].min() < 0.2  # confusion
    assert ((share["learned"] > 0.8) & (share["generalized"] < 0.2)).any()  # memorization
    assert share["generalized"].max() > 0.8
    late = trainings["lag"][trainings["generalized"] > 0]
    assert (late >= 1000).any()
    assert (late < 1000).any()
    borders = found["borders"].sort_values("p")["value"]
    assert (np.diff(borders) < 0).all()


def test_constants_give_way_to_fits_along_the_line_of_both_regularisations():
    found = numbers("wongtoi2025/regularisation")
    for name in regularisation.NAMES:
        means = regularisation.diagonal(found, name).groupby("rho")["train_mse"].mean()
        assert means.iloc[0] > 0.95
        assert means.iloc[-1] < 0.6
        assert (np.diff(means) < 0.05).all()


def test_rates_are_those_of_theory_and_lookups_are_faster():
    found = numbers("yarotsky2020/rates")
    rows = found["exponents"]
    p = -rows["exponent"] / (rows["rate"] * rows["ratio"])
    assert np.abs(p - 1).max() < 0.15
    laws = found["laws"].pivot(index="ratio", columns="law", values="residual")
    assert (laws["root"] < laws[["power", "linear"]].min(axis=1) / 5).all()


def test_a_transition_is_moved_onto_its_target_only_with_continuation():
    ends = numbers("fuchs2025/potts")["ends"]
    near = ends[ends["continuation"] < 1]
    assert (near["lost"] == 0).all()
    error = (near["temperature_error"] / near["temperature"]).to_numpy()
    assert (np.abs(near["deviation"]) < 3 * error + 0.002).all()
    assert (ends["lost"][ends["continuation"] >= 1] > 0).all()


def test_a_melting_line_is_drawn_and_said():
    state = {"system": "lennard_jones_refinement"}
    pressure, target = np.array([1.4, 8.7]), np.array([0.8, 1.3])
    rng = np.random.default_rng(0)

    def each(values, spread):
        return ("realization", "state"), values + rng.normal(0, spread, (4, 2))

    ds = xr.Dataset(
        {
            "state_pressure": each(pressure, 0),
            "target_temperature": each(target, 0),
            "start_temperature": each(0.87 * target, 0.002),
            "melting_temperature": each(target, 0.002),
            **{name: each(0.003, 0) for name in lennard_jones.LINE if name.endswith("error")},
        },
        coords={"realization": range(4), "state": range(2)},
        attrs=state,
    )
    found = tables.as_kept(samples.to_tables("line", ds, *lennard_jones.LINE))
    first, second = lennard_jones.say(found).splitlines()
    assert first.startswith("P = 1.4, target 0.8: -1")
    assert "before" in second
    assert "after (4 realizations" in second
    assert len(lennard_jones.draw(found).axes) == 2
