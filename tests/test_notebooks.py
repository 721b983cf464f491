"""What notebooks show: docs/notebooks.md run, hostile names, and stores too large to be read."""

from __future__ import annotations

import inspect
import re
import typing
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import arviz_base
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

import criticality.figures
from criticality import (
    Estimate,
    Flag,
    PhaseDiagram,
    ScalingData,
    Store,
    Study,
    collapse,
    crossings,
    run,
)
from criticality.analysis.critical import CriticalPoints, Wording
from criticality.analysis.scaling import Decision, Marginal, choices, decide
from criticality.base import Phase, html
from criticality.catalog import find
from criticality.study import shown
from tests import known_systems as known
from tests.stand_in import Nothing

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/notebooks.md").read_text(encoding="utf-8")
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&$\\href{javascript:1}{x}$"


class Read(HTMLParser):
    """Tags, text and attributes of what is shown, and whether tags close as they open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.open, self.styles, self.names, self.said = set(), [], [], set(), ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.styles += [value for name, value in attrs if name == "style"]
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.said += data + " "


ALLOWED = {"div", "style", "strong", "table", "thead", "tbody", "tr", "th", "td", "details"}
ALLOWED |= {"summary", "ul", "li", "code", "span"}


def read(thing) -> Read:
    """What a thing shows, which asks for nothing and runs nothing."""
    text = thing._repr_html_()
    found = Read(text)
    assert found.tags <= ALLOWED
    assert found.names <= {"class", "style", "scope"}
    assert not any("url" in style or "(" in style.replace(html.HATCH, "") for style in found.styles)
    assert html.IGNORED in text.partition(">")[0]  # MathJax leaves it alone
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Names that the blocks of the page leave, run one after another."""
    names: dict[str, object] = {"__name__": "notebook"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "notebooks.md", "exec"), names)
        names["folder"] = Path.cwd()
    return names


def test_the_page_finds_what_the_theory_says(page):
    params = page["fit"].params
    for name, truth in (("p_c", 1.0), ("nu", 3.0)):
        assert params[name].low <= truth <= params[name].high
        assert params[name].error < 0.2 * truth
    assert page["found"].verdict == "undecided"  # as the page says
    codes = page["phases"].cells["phase"].values
    assert (codes[0], codes[-1]) == (1, 2)
    assert page["ax"].get_title() == "random graphs"
    assert page["ax"].figure._repr_png_().startswith(b"\x89PNG")


def test_what_is_shown_has_the_numbers(page):
    study, store = read(page["study"]), read(Store(page["folder"] / "graphs"))
    for found in (study, store):
        assert "3,250 = 65 points \N{MULTIPLICATION SIGN} 50 realizations" in found.said
        assert "mean number of neighbours" in found.said
        assert "400, 800, 1600, 3200, 6400" in found.said
    fit, compared = read(page["fit"]), read(page["found"])
    assert all(str(found) in fit.said for found in page["fit"].params.values())
    assert page["fit"].params["nu"].interval() in fit.said
    assert all(each.ansatz.name in compared.said for each in page["found"].fits)
    assert page["found"].reason in compared.said
    plane = read(page["phases"])
    for code, phase in enumerate(page["phases"].phases, start=1):
        number = int((page["phases"].cells["phase"] == code).sum())
        assert f"{phase.letter}  {phase.name}  {number} ".replace("  ", " ") in plane.said
    assert all(str(flag) in fit.said for flag in page["fit"].flags)


def test_tables_have_the_numbers(page):
    fit, found, phases = page["fit"], page["found"], page["phases"]
    assert fit.summary()["value"].to_dict() == fit.values
    assert found.table()["log_evidence"].tolist() == [each.log_evidence for each in found.fits]
    assert found.table().loc[fit.ansatz.name, "nu_error"] > 0
    borders = phases.borders()
    assert borders["value"].tolist() == pytest.approx(
        [line.estimate.value for line in phases.boundaries], nan_ok=True
    )


@pytest.fixture(scope="module")
def curves():
    return known.synthetic(
        "algebraic", 0.5, 1.3, **known.STANDARD, noise=0.05, correlation=0.0,
        rng=np.random.default_rng(0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def decided(curves) -> Decision:
    few = curves.restrict(control_range=(0.4, 0.6), size_min=2000)
    return decide(few, made=choices(few)[:2])


def test_draws_go_to_arviz_with_their_weights(curves, decided):
    fit = collapse(curves)
    tree = fit.to_arviz()
    drawn = arviz_base.extract(tree, group="posterior")  # as its functions read it
    for name in fit.free:
        mean = fit.weights @ fit.sample[name]
        assert float(drawn[name].mean()) == pytest.approx(mean, abs=0.2 * fit.params[name].error)
        assert float(drawn[name].std()) == pytest.approx(fit.params[name].error, rel=0.3)
    assert 1 < tree["posterior"].attrs["n_effective"] <= len(fit.weights)
    assert (tree["observed_data"]["y"].values == curves.mean).all()
    resampled = collapse(curves, draws=20).to_arviz()
    assert "posterior" not in resampled.children  # it is none
    assert resampled["bootstrap"].sizes["draw"] == 20
    mixed = decided["algebraic"]
    tree = mixed.to_arviz()
    assert float(tree["posterior"]["nu"].median()) == pytest.approx(
        mixed.params["nu"].value, abs=0.3 * mixed.params["nu"].error
    )
    shares = np.bincount(tree["sample_stats"]["choice"].values[0], minlength=2)
    assert shares / shares.sum() == pytest.approx(mixed.weights, abs=0.01)


def test_all_that_is_reported_shows_itself(curves, decided):
    (alike,) = {type(each) for each in decided.marginals}
    assert alike is Marginal
    assert decided.reason in read(decided).said
    for each in decided.marginals:
        found = read(each)
        assert all(str(fitted) in found.said for fitted in each.params.values())
    crossed = crossings(curves, draws=40)
    for crossing in crossed.crossings:
        assert str(crossing.at) in read(crossed).said
    assert crossed.table()["value"].tolist() == [c.at.value for c in crossed.crossings]
    assert "8000" in read(curves).said
    assert "no bound" in read(Estimate(value=1.0, low=-np.inf, high=np.inf)).said
    assert read(CriticalPoints((), Wording(heading=HOSTILE))).said.count("alert") == 2


def test_text_of_a_store_is_never_markup(tmp_path, curves):
    store = Store(tmp_path)
    plan = Study(system=Nothing()).plan()
    plan |= {"controls": {HOSTILE: HOSTILE}, "grid": {HOSTILE: [HOSTILE]}, "system": HOSTILE}
    store.begin(plan)
    assert HOSTILE in read(store).said
    hostile = ScalingData(curves.curves, names=(HOSTILE, HOSTILE, HOSTILE))
    assert HOSTILE in read(hostile).said
    fit = collapse(hostile)
    object.__setattr__(fit, "flags", (Flag(HOSTILE),))
    assert HOSTILE in read(fit).said
    colours = ("red;background:url(//x)", "url(//x)", '"><script>')
    phases = tuple(
        Phase(name=HOSTILE + str(i), letter=HOSTILE, colour=colour)
        for i, colour in enumerate(colours)
    )
    cells = xr.Dataset(
        {"phase": ((HOSTILE,), np.arange(4, dtype=np.int8)), "x": ((HOSTILE,), np.ones(4))},
        coords={HOSTILE: [HOSTILE, "a", "b", "c"]},
    )
    method = {"realizations": 1, "error_method": HOSTILE}
    diagram = PhaseDiagram(cells=cells, boundaries=(), phases=phases, method=method)
    assert read(diagram).said.count("alert(1)") >= 8


def test_a_large_store_is_counted_and_not_read(tmp_path, monkeypatch):
    system = find(f"{ROOT}/tests/stand_in.py:Nothing")
    study = Study(system=system(), grid={"x": [0.0, 0.5]}, realizations=3)
    run(study, tmp_path / "s", workers=1)
    assert "6 of 6 tasks" in read(Store(tmp_path / "s")).said
    monkeypatch.setattr(shown, "BLOCK", 0)
    store = Store(tmp_path / "s")
    monkeypatch.setattr(store, "refresh", lambda: pytest.fail("it was read"))
    assert "6 results counted in the files, not read, of 6 tasks" in read(store).said
    monkeypatch.setattr(shown, "LOOK", 2000)  # bytes
    assert "more than" in read(store).said
    assert "not a store" in read(Store(tmp_path / "none")).said


def drawing():
    """Public functions that draw numbers on one pair of axes."""
    rooms = (ROOT / "src/criticality/systems").glob("*/*figures.py")
    places = [import_module(f"criticality.systems.{p.parent.name}.{p.stem}") for p in rooms]
    for place in (criticality.figures, *places):
        for name, one in vars(place).items():
            if name.startswith("_") or not inspect.isfunction(one):
                continue
            first, *others = inspect.signature(one).parameters or [""]
            own = place is criticality.figures or one.__module__ == place.__name__
            if own and first != "ax" and "ax" in others:
                yield one


def test_figures_take_axes_or_none_and_give_axes():
    found = list(drawing())
    assert len(found) > 25
    for one in found:
        hints = typing.get_type_hints(one, vars(import_module(one.__module__)))
        assert hints["return"] is Axes, one
        if one.__name__ != "doubted":  # onto a map
            assert inspect.signature(one).parameters["ax"].default is None, one
