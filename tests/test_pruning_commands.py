"""Commands on stores of the pruning systems: what they report, and which figures they draw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from criticality import Store, Study
from criticality.base import Card, Observable, control
from criticality.figures.book import Book
from criticality.results import Results
from criticality.systems.pruning import PruningNetwork, TopologyNetwork
from criticality.systems.pruning.pages import pruning_pages
from tests import pruning_data as known
from tests.test_pruning_figures import curve


@dataclass(frozen=True, kw_only=True)
class Fake:
    """A system without a network: its results are made up."""

    card: ClassVar[Card]
    made: ClassVar[Any] = None

    criterion: str = control("magnitude", symbol="criterion", doc="what is pruned")

    def compute(self, rng: Any, data: Any) -> Any:
        raise AssertionError("results are written by hand")

    def inner(self) -> dict[str, Any]:
        coords = self.made.drop_vars(["criterion", "realization"], errors="ignore").coords
        return {str(n): tuple(v.values.tolist()) for n, v in coords.items()}


def write_store(path, kind, made, values, asked=None):
    inner = {n: a.isel(criterion=0, realization=0) for n, a in made.items()}

    class System(Fake):
        card = Card(
            name=kind.card.name,
            version=kind.card.version,
            observables=tuple(
                Observable(name=str(n), dims=tuple(map(str, a.dims))) for n, a in inner.items()
            ),
        )

    System.made = made
    study = Study(
        system=System(), grid={"criterion": asked or values}, realizations=made.sizes["realization"]
    )
    store = Store(path)
    store.begin(study.plan())
    for task in study.tasks():
        if task.system.criterion not in values:
            continue
        where = {"criterion": task.system.criterion, "realization": task.realization}
        store.write(task, {str(n): made[n].sel(where).values for n in made}, {})
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(4)
    values = ("magnitude", "random")
    made = known.pruning(rng, values, sweep="criterion", jitter=0.02, steps=600, realizations=3)
    write_store(folder / "pruning", PruningNetwork, made, values)
    made = known.topology(rng, realizations=3).expand_dims(criterion=["magnitude"])
    write_store(folder / "topology", TopologyNetwork, made, ("magnitude",))
    return folder


def test_the_threshold_of_every_point_is_reported(command, stores):
    words = ("threshold", stores / "pruning", "--draws", "40")
    code, out, err = command(*words, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)["points"]
    assert [(p["at"]["criterion"], p["observable"]) for p in found] == [
        (c, o) for c in ("magnitude", "random") for o in ("accuracy", "prediction_entropy")
    ]
    assert found[0]["fit"]["params"]["p_c"]["value"] == pytest.approx(0.01, rel=0.03)
    assert found[2]["fit"]["params"]["p_c"]["value"] == pytest.approx(0.016, rel=0.03)
    assert found[0]["breakdown"]["half"]["value"] == pytest.approx(0.01 + 0.03 / 4, rel=0.03)
    assert found[0]["offset"] == pytest.approx(0.1)
    assert len(found[0]["scan"]) > 3
    code, out, _ = command(*words, "--select", "criterion=random", "--observable", "accuracy")
    assert code == 0
    assert "criterion = random: accuracy - 0.1 (measured), 3 networks" in out
    assert "rho_c = 1.5" in out
    assert "half-way at" in out
    assert "within" in out
    assert "prediction_entropy" not in out
    assert "nan" not in out


def test_chance_and_the_window_can_be_given(command, stores):
    code, out, _ = command(
        "threshold", stores / "pruning", "--observable", "accuracy", "--offset", "0.05",
        "--control-range", "0.005", "0.02", "--draws", "20", "--json",
    )  # fmt: skip
    found = json.loads(out)["points"][0]
    assert code == 0
    assert (found["offset"], found["offset_source"]) == (0.05, "given")
    assert 0.005 <= min(found["control"]) < max(found["control"]) <= 0.02


def test_degrees_are_drawn_near_1_percent_of_the_edges(stores, monkeypatch):
    monkeypatch.setattr("criticality.systems.pruning.pages._weight_pages", lambda *words: None)
    book = Book()
    pruning_pages(Results(stores / "pruning", ["criterion=random"]), book, {})
    (part,) = book.pages["degrees"].subfigs
    title, (into, out_of) = part.get_suptitle(), part.axes
    assert title == "criterion = random: 1 % of the edges"
    ds = Store(stores / "pruning").open().sel(criterion="random")
    step = int(np.argmin(np.abs(ds["density"][0].values - 0.01)))
    layer = ds["removed"].values[:, : 15 * 40].reshape(3, 15, 40) > step
    for ax, axis in ((into, 2), (out_of, 1)):
        degree, line = layer.sum(axis=axis), curve(ax, "layer 1")
        shares = [(degree >= k).mean() for k in line.get_xdata()]
        np.testing.assert_allclose(line.get_ydata(), shares)
        assert len(ax.get_legend().get_texts()) == 5


def test_results_of_different_shapes_are_opened_one_by_one(command, tmp_path):
    for value, steps in (("magnitude", 300), ("random", 400)):  # as if they were swept
        rng = np.random.default_rng(6)
        made = known.pruning(rng, (value,), sweep="criterion", realizations=2, steps=steps)
        write_store(
            tmp_path / "store", PruningNetwork, made, (value,), asked=("magnitude", "random")
        )
    for words in (
        ("figures", tmp_path / "store", "--out", tmp_path),
        ("threshold", tmp_path / "store"),
    ):
        code, out, err = command(*words)
        assert (code, out) == (2, "")
        assert "Use --select AXIS=VALUE with one of: criterion." in err
    words = ("threshold", tmp_path / "store", "--observable", "accuracy", "--draws", "20", "--json")
    for value in ("magnitude", "random"):
        code, out, err = command(*words, "--select", f"criterion={value}")
        assert (code, err) == (0, "")
        assert [p["at"] for p in json.loads(out)["points"]] == [{"criterion": value}]


def test_figures_of_pruning_and_of_topologies(command, stores, tmp_path):
    words = (stores / "pruning", "--select", "criterion=random")
    code, out, err = command("figures", *words, "--out", tmp_path)
    assert (code, err) == (0, "")
    names = [line.rsplit("/", 1)[1] for line in out.split()]
    assert names == [
        f"{name}.png"
        for name in ("breakdown", "structure", "degrees", "threshold", "evolution", "weights")
    ]
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)
    code, out, _ = command("figures", stores / "topology", "--out", tmp_path, "--format", "svg")
    assert code == 0
    assert out.split() == [str(tmp_path / "topology.svg")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("threshold", "topology"), "its card names neither a plane nor a threshold"),
        (
            ("threshold", "pruning", "--observable", "loss"),
            "unknown value for --observable: 'loss'",
        ),
        (("threshold", "pruning", "--control-range", "0.5", "0.1"), "least < greatest"),
        (("threshold", "pruning", "--control-range", "0.5", "inf"), "least < greatest"),
        (("threshold", "pruning", "--control-range", "nan", "0.1"), "least < greatest"),
        (("threshold", "pruning", "--control-range", "0.5", "2"), "least < greatest <= 1"),
        (("threshold", "pruning", "--offset", "nan"), "--offset nan: expected a finite number"),
        (("threshold", "pruning", "--offset", "1"), "0 <= chance < 1"),
        (("threshold", "pruning", "--level", "nan"), "--level nan: expected"),
        (("threshold", "pruning", "--control", "density"), "does not vary along 'density'"),
        (("threshold", "pruning", "--control", "criterion"), "its values are no numbers"),
        (
            ("threshold", "pruning", "--offset", "0.1", "--observable", "prediction_entropy"),
            "is for the accuracy",
        ),
        (("threshold", "pruning", "--select", "step=3"), "Allowed: criterion, realization."),
        (("figures", "pruning", "--out", "x", "--select", "layer=1"), "Allowed: criterion"),
        (("figures", "topology", "--out", "x", "--select", "epoch=1"), "unknown axis 'epoch'"),
        (
            ("figures", "topology", "--out", "x", "--select", "topology=1"),
            "axis 'topology'",
        ),
        (("threshold", "nothing"), "not a store"),
        (("figures", "pruning", "--out", "x", "--at", "snapshots=0.1"), "use --select"),
        (("figures", "pruning", "--out", "x", "--format", "gif"), "expected png, pdf or svg"),
        (("threshold", "pruning", "--select", "criterion=saliency"), "has the values"),
    ],
)
def test_bad_input_exits_2_with_a_message(command, stores, words, expected):
    code, out, err = command(words[0], stores / words[1], *words[2:])
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err


def test_one_network_of_many_can_be_chosen(command, stores, tmp_path):
    words = ("--select", "realization=1", "--select", "criterion=random")
    code, out, err = command("threshold", stores / "pruning", *words, "--draws", "20")
    assert (code, err) == (0, "")
    assert "criterion = random: accuracy - 0.1 (measured), 1 network\n" in out
    assert "1 of 1 networks" in out
    assert "unresolved: one realization" in out
    assert command("figures", stores / "topology", *words[:2], "--out", tmp_path)[0] == 0
