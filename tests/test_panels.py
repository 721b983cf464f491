"""A study that sweeps more than its plane is classified and drawn panel by panel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from criticality import InputError
from criticality.figures import phase_panels
from criticality.figures.book import Book
from criticality.results import Results
from tests.own import command

__all__ = ["command"]  # a fixture

SYSTEM = """
from criticality import Phase, Rule, control, system

@system(
    observables={"m": ""}, plane=("load", "T"), size="N",
    phases=(Phase(name="ordered"), Phase(name="disordered")),
    rules=(Rule(phase="ordered", quantity="m", above=0.5),
           Rule(phase="disordered", quantity="m", below=0.5)),
)
def memory(
    rng, load=control(0.1), T=control(0.5, symbol="$T$"), N=control(8), level=control(0),
    prior=control("sign", choices=("sign", "step", "line")), field=control(0.5, symbol="$h$"),
    open=control(False),
):
    order = T < {"sign": 0.9, "step": 0.5, "line": 0.2}[prior] + field - load
    return {"m": order + 0.01 * rng.normal()}
"""
PLANE = "realizations = 2\n[grid]\nN = [4, 8]\nload = [0.0, 0.2]\nT = [0.25, 0.75, 1.25]\n"
SMALL = "realizations = 2\n[grid]\nN = [8]\nload = [0.0]\nT = [0.25]\n"
ONE = 'prior = ["line", "sign", "step"]\n'
TWO = f"field = [0.0, 0.3]\n{ONE}"
THREE = f"open = [false, true]\n{TWO}"
MANY = "level = [0, 1, 2, 3, 4, 5, 6]\n"


def ordered(prior, field):
    """Whether each point of the plane is ordered, [load, T]."""
    line = {"sign": 0.9, "step": 0.5, "line": 0.2}[prior] + field - np.array([[0.0], [0.2]])
    return np.array([0.25, 0.75, 1.25]) < line


@pytest.fixture
def made(tmp_path, command, monkeypatch):
    """Run a study that sweeps more than the plane; its store."""
    monkeypatch.chdir(tmp_path)
    Path("memory.py").write_text(SYSTEM)

    def make(more, plane=PLANE):
        Path("memory.toml").write_text(f'system = "memory"\n{plane}{more}')
        words = ("--system", "memory.py:memory", "--workers", 1, "--quiet")
        assert command("run", "memory.toml", "--store", "s", *words)[0] == 0
        return Path("s")

    return make


def mesh(ax):
    (found,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return found.get_array()


def test_two_axes_make_rows_and_columns(made):
    source, book = Results(made(TWO), None), Book()
    panels = phase_panels(source, book)
    every = [(f, p) for f in (0.0, 0.3) for p in ("line", "sign", "step")]
    assert [(panel.at["field"], panel.at["prior"]) for panel in panels] == every
    figure = book.pages["phases"]
    for number, (at, ax, diagram) in enumerate(panels):
        codes = np.where(ordered(at["prior"], at["field"]), 1, 2)
        np.testing.assert_array_equal(diagram.cells["phase"], codes)
        np.testing.assert_array_equal(mesh(ax), codes.T)
        assert ax.get_title() == f"prior = {at['prior']}"
        assert ax.get_legend() is None
        assert bool(ax.get_ylabel()) == (number % 3 == 0)
        assert bool(ax.get_xlabel()) == (number >= 3)
    figure.canvas.draw()
    corners = np.array([ax.get_window_extent().p0 for _, ax, _ in panels]).reshape(2, 3, 2)
    assert (np.diff(corners[..., 0], axis=1) > 0).all()  # prior along the row
    assert (np.diff(corners[..., 1], axis=0) < 0).all()  # a row for each field
    assert np.ptp(corners[..., 1], axis=1).max() < 1
    assert [row.get_suptitle() for row in figure.subfigs] == ["$h$ = 0", "$h$ = 0.3"]
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["ordered", "disordered"]
    assert sorted(words[2:]) == ["$T^*$ (95 %)", "load* (95 %)"]
    inside = figure.bbox.contains
    assert inside(*legend.get_window_extent().p0)
    assert inside(*legend.get_window_extent().p1)
    assert legend.get_window_extent().y1 < corners[..., 1].min()


def test_one_axis_makes_a_row_and_many_values_several(made):
    store, book = made(ONE + MANY, SMALL), Book()
    panels = phase_panels(Results(store, ["level=0"]), book, "by_prior")
    assert [at for at, *_ in panels] == [{"prior": name} for name in ("line", "sign", "step")]
    assert list(book.pages) == ["by_prior"]
    panels = phase_panels(Results(store, ["prior=sign"]), book)
    assert [at["level"] for at, *_ in panels] == list(range(7))
    assert len(book.pages["phases"].axes) == 7  # and none that is empty
    book.pages["phases"].canvas.draw()
    lower = [ax.get_window_extent().y0 for _, ax, _ in panels]
    assert np.ptp(lower[:6]) < 1
    assert lower[6] < lower[0] - 100


def test_without_another_axis_there_is_one_panel(made):
    (panel,) = phase_panels(Results(made(TWO), ["prior=sign", "field=0"]), Book())
    assert panel.at == {}
    assert panel.ax.get_title() == ""
    np.testing.assert_array_equal(
        panel.diagram.cells["phase"], np.where(ordered("sign", 0.0), 1, 2)
    )


def test_a_panel_is_what_is_selected(made):
    store = made(TWO)
    source = Results(store, None)
    for prior, field in (("sign", 0.3), ("line", 0.0)):
        chosen = Results(store, [f"prior={prior}", f"field={field}"]).diagram()
        panel = source.diagram({"prior": prior, "field": field})
        said = [json.dumps(found.to_dict(), default=str) for found in (panel, chosen)]
        assert said[0] == said[1]
    with pytest.raises(InputError, match="at prior=stp: was not measured"):
        source.diagram({"prior": "stp", "field": 0.0})
    with pytest.raises(InputError, match="unknown axis 'piror'"):
        source.diagram({"piror": "step"})
    with pytest.raises(InputError, match="also sweeps field"):
        source.diagram({"prior": "step"})


def test_the_command_writes_a_table_for_every_combination(made, command, caplog):
    store = made(THREE)
    code, out, _ = command("phases", store)
    assert code == 0
    heads = [line for line in out.splitlines() if line.startswith("open = ")]
    assert heads == [
        f"open = {o}, field = {f}, prior = {p}"
        for o in (False, True)
        for f in ("0", "0.3")
        for p in ("line", "sign", "step")
    ]
    panels = json.loads(command("phases", store, "--json")[1])["panels"]
    assert len(panels) == 12
    for panel in panels:
        at = panel["at"]
        truth = ordered(at["prior"], at["field"]).ravel()
        said = [cell["phase"] for cell in panel["cells"]]
        assert said == np.where(truth, "ordered", "disordered").tolist()
    select = [w for name, v in at.items() for w in ("--select", f"{name}={v}")]
    code, one, _ = command("phases", store, *select)
    assert out.endswith(one)  # the last of them
    plain = json.loads(command("phases", store, *select, "--json")[1])
    assert plain == {name: panel[name] for name in plain}
    assert "panels" not in plain
    # three axes more than the plane are no page, which says what to do
    code, out, _ = command("figures", store, "--out", "f")
    assert code == 0
    assert "no page of phases: the study also sweeps open" in caplog.text
    assert "phases.png" not in out
    caplog.clear()
    assert command("figures", store, "--out", "f", "--select", "open=true")[0] == 0
    assert not caplog.text
    assert Path("f/phases.png").stat().st_size > 10_000


def test_too_many_combinations_are_refused_as_ever(made, command):
    store = made(MANY + TWO, SMALL)
    code, out, err = command("phases", store)
    assert (code, out) == (2, "")
    assert "choose one value, with --select" in err
    with pytest.raises(InputError, match=r"42 panels over .*: a page has 24 at most"):
        phase_panels(Results(store, None), Book())


def test_of_a_path_only_planes_with_a_number_are_told_and_drawn(made, command):
    # (sign, 0), (line, 0.3), (sign, 0.3): three of four
    plane = PLANE.replace("N = [4, 8]\n", "")
    store = made('[path]\nprior = ["sign", "line", "sign"]\nfield = [0.0, 0.3, 0.3]\n', plane)
    asked = {("sign", 0.0), ("line", 0.3), ("sign", 0.3)}
    panels = json.loads(command("phases", store, "--json")[1])["panels"]
    assert len(panels) == 3
    assert {(panel["at"]["prior"], panel["at"]["field"]) for panel in panels} == asked
    for panel in panels:
        said = [cell["phase"] for cell in panel["cells"]]
        truth = ordered(panel["at"]["prior"], panel["at"]["field"]).ravel()
        assert said == np.where(truth, "ordered", "disordered").tolist()
    drawn = phase_panels(Results(store, None), Book())
    assert {(at["prior"], at["field"]) for at, *_ in drawn} == asked
    for at, ax, _ in drawn:
        assert at["prior"] in ax.get_title()
        assert f"{at['field']:g}" in ax.get_title()
    one = json.loads(command("phases", store, "--select", "prior=line", "--json")[1])["panels"]
    assert [panel["at"] for panel in one] == [{"field": 0.3}]
    code, _, said = command("phases", store, "--select", "prior=line", "--select", "field=0")
    assert code == 2
    assert "--select prior=line --select field=0: nothing was measured there" in said
    assert "criticality run" not in said


def test_another_plane_than_the_systems_own(made, command):
    store = made("field = [0.0, 0.3]\n")
    words = ("phases", store, "--select", "load=0.2", "--plane", "field,T", "--json")
    cells = json.loads(command(*words)[1])["cells"]
    assert len(cells) == 6
    for cell in cells:
        truth = cell["T"] < 0.9 + cell["field"] - 0.2
        assert cell["phase"] == ("ordered" if truth else "disordered")
    code, _, said = command("phases", store, "--plane", "field,H")
    assert code == 2
    assert "--plane: unknown axis 'H'" in said
    for plane in ("N", "N,T", "T,T", "T,load,field"):
        code, _, said = command("phases", store, "--plane", plane)
        assert code == 2
        assert f"--plane {plane}: expected one axis, or two different ones, and not N" in said
    code, out, _ = command("figures", store, "--out", "f", "--plane", "T", "--select", "load=0")
    assert code == 0
    assert "phases.png" in out


def test_values_of_a_selected_size(made, command):
    store = made("", PLANE)
    whole, small = (
        json.loads(command("phases", store, "--json", *more)[1])["cells"]
        for more in ((), ("--select", "N=4"))
    )
    assert [cell["phase"] for cell in small] == [cell["phase"] for cell in whole]


def test_values_need_no_sweep_of_the_size(made, command):
    store = made("", PLANE.replace("N = [4, 8]\n", ""))
    cells = json.loads(command("phases", store, "--json")[1])["cells"]
    truth = ordered("sign", 0.5).ravel()
    said = [cell["phase"] for cell in cells]
    assert said == np.where(truth, "ordered", "disordered").tolist()
    code, out, _ = command("figures", store, "--out", "f")
    assert code == 0
    assert "phases.png" in out
