"""The command `paper`, and what every entry must keep."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from criticality import Store, Study, run
from criticality.base import Estimate, Flag, InputError
from criticality.papers import Entry, entry, make, names, parts, rows, tables
from criticality.papers.entry import HERE, PAPERS, declared, natural
from criticality.systems.dropout import DropoutNetwork
from tests.own import command

__all__ = ["command"]
mpl.use("Agg")
# of kept numbers, so that the repository stays small
MOST_BYTES = {"quick": 60_000, "full": 250_000}


@pytest.fixture(params=names())
def every(request):
    return entry(request.param)


@pytest.fixture(params=[name for name in names() if entry(name).done])
def done(request):
    return entry(request.param)


def test_every_entry_names_studies_that_can_be_computed_at_both_scales(every):
    work = {}
    for scale in ("quick", "full"):
        plans = every.plans(scale)
        assert tuple(plans) == every.studies
        for plan in plans.values():
            tasks = plan.tasks()
            assert len({task.key for task in tasks}) == len(tasks)
            certain = vars(plan.system).get("function") == "worst"  # the same in all realizations
            assert plan.realizations == 1 if certain else plan.realizations >= 4
        work[scale] = sum(task.system.work() for p in plans.values() for task in p.tasks())
    assert work["quick"] < work["full"] / 4


def test_every_entry_keeps_the_numbers_of_its_studies_at_the_scale_it_says(done):
    numbers, origin = tables.read(done.kept)
    assert origin["entry"] == done.name
    assert origin["scale"] == "full" or not done.name.startswith("findings/")
    assert set(origin["studies"]) == set(done.studies)
    for stem, plan in done.plans(origin["scale"]).items():
        kept = origin["studies"][stem]
        assert kept["system"] == plan.plan()["system"]
        assert kept["version"] == [plan.plan()["version"]], "numbers of another version"
        assert 0 < kept["done"] <= kept["tasks"]
        assert kept["done"] == kept["tasks"] or origin["scale"] == "full"
    size = sum(file.stat().st_size for file in done.kept.iterdir())
    assert size < MOST_BYTES[origin["scale"]]
    assert all(len(table) for table in numbers.values())


def test_every_figure_is_drawn_and_every_answer_given_from_the_kept_numbers(
    done, command, tmp_path
):
    _, out, err = command("paper", done.name, "--out", tmp_path, "--format", "png")
    numbers, _ = tables.read(done.kept)
    assert done.say(numbers) in out
    assert not err
    assert (tmp_path / f"{done.name}.png").stat().st_size > 10_000
    again, _ = tables.read(tmp_path / done.name)
    for name, table in numbers.items():
        pd.testing.assert_frame_equal(again[name], table)


MARK = "<!-- criticality paper {} -->"  # in a page, before the block of what the command says
PAGES = Path(__file__).parent.parent / "docs"


def page(name):
    """Of an entry, of all figures of its paper, or of the papers with one figure each."""
    every = (name, f"papers/{name.split('/')[0]}", "papers/others")
    return next(file for one in every if (file := PAGES / f"{one}.md").exists()).read_text()


IN_TABLES = "findings/line"  # whose page says it in tables: tests/test_findings_line.py


def test_the_numbers_of_a_page_are_those_that_are_kept():
    for name in [n for n in names() if entry(n).done and n != IN_TABLES]:
        numbers, _ = tables.read(entry(name).kept)
        pattern = re.escape(MARK.format(name)) + r"\n```text\n(.*?)\n```"
        (block,) = re.findall(pattern, page(name), re.DOTALL)
        assert block == entry(name).say(numbers).strip("\n")


def test_the_list_says_of_every_entry_how_much_of_it_is_done(command):
    _, out, _ = command("paper", "--json")
    told = json.loads(out)
    assert list(told) == list(names())
    for name, about in told.items():
        assert about["title"] == entry(name).title
        assert about["kept"] == entry(name).done
        if entry(name).done:
            origin = tables.read(entry(name).kept)[1]
            done, tasks = (
                sum(s[part] for s in origin["studies"].values()) for part in ("done", "tasks")
            )
            expected = ["quick version"] * (origin["scale"] == "quick")
            expected += [f"{done} of {tasks} networks"] * (done < tasks)
            assert about["state"] == (", ".join(expected) or "complete")
        else:
            assert about["state"] == "to be computed"
    _, out, _ = command("paper", "list")
    for line, (name, about) in zip(out.splitlines(), told.items(), strict=True):
        assert line.split()[0] == name
        assert (about["state"] in line) == (about["state"] != "complete")


def test_the_price_is_one_document_with_its_sum(command, tmp_path):
    place = ["--store", tmp_path / "none", "--dry-run"]
    _, out, _ = command("paper", "findings/tuning", "--scale", "quick", *place, "--json")
    told = json.loads(out)
    assert tuple(told["studies"]) == entry("findings/tuning").studies
    for name in ("tasks", "missing"):
        assert told[name] == sum(study[name] for study in told["studies"].values()) > 0
    assert told["seconds"] == pytest.approx(sum(s["seconds"] for s in told["studies"].values()))
    _, out, _ = command("paper", "findings/tuning", "--scale", "quick", *place)
    assert out.splitlines()[-1].startswith(f"all 8 studies: {told['tasks']} tasks")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["findings/lime"], "findings/line"),
        (["../findings/line"], "findings/line"),
        (["findings/line", "--scale", "slow", "--store", "s"], "quick"),
        (["findings/line", "--scale", "slow"], "'slow'"),
        (["pan2026"], "pan2026/fig2, pan2026/fig3"),
        (["findings/line", "--scale", "quick"], "--store"),
        (["findings/line", "--store", "s"], "--scale"),
        (["findings/line", "--as-is"], "--scale"),
        (["findings/line", "--format", "gif"], "png"),
        (["findings/line", "--scale", "quick", "--store", "s", "--as-is"], "no results"),
        (["findings/line", "--scale", "quick", "--store", "s", "--as-is", "--dry-run"], "nothing"),
        (["findings/tuning", "--workers", "0"], "--workers"),
        (["findings/tuning", "--out", "/dev/null/x"], "--out"),
        (["findings/line", "--scale", "quick", "--store", "/dev/null", "--dry-run"], "a file"),
        (["list", "--scale", "quick"], "which entry"),
    ],
)
def test_bad_arguments_are_told(command, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("paper", *arguments)
    assert code == 2
    assert message in err
    assert not out
    assert not list(tmp_path.iterdir())


SOME = {"a": pd.DataFrame({"x": [1.0, float("nan")], "word": ["yes", "no"], "n": [3, 4]})}
ABOUT = {"entry": "a/b", "scale": "full", "studies": {}}


def test_tables_come_back_as_they_were(tmp_path):
    there = SOME | {"none": pd.DataFrame()}
    tables.write(there, ABOUT, tmp_path / "new")
    back, origin = tables.read(tmp_path / "new")
    assert list(back) == list(there)
    for name, table in there.items():
        pd.testing.assert_frame_equal(back[name], table)
    assert origin == ABOUT


def test_what_is_said_has_the_digits_that_are_kept(tmp_path):
    exact = {"a": pd.DataFrame({"x": [1 / 3, 1e-9 / 7], "flags": ["", "few"]})}
    kept = tables.as_kept(exact)
    tables.write(exact, ABOUT, tmp_path)
    pd.testing.assert_frame_equal(tables.read(tmp_path)[0]["a"], kept["a"], check_exact=True)
    assert kept["a"]["x"][0] != 1 / 3


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "a.csv").write_text("x,word,n\n2.0,yes,3\n,no,4\n"),
        lambda folder: (folder / "a.csv").write_text("x,word,n\n1,yes,3\n"),
        lambda folder: (folder / "a.csv").unlink(),
        lambda folder: (folder / "b.csv").write_text("x\n1\n"),
        lambda folder: (folder / "provenance.json").write_text('{"entry": "a/b"}'),
        lambda folder: (folder / "provenance.json").write_text('{"tables": {}, '),
        lambda folder: (folder / "provenance.json").write_text("[1]"),
    ],
    ids=["changed", "truncated", "missing", "more", "unsealed", "torn", "list"],
)
def test_kept_numbers_that_somebody_changed_are_refused(harm, tmp_path):
    tables.write(SOME, ABOUT, tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        tables.read(tmp_path)


def test_a_folder_without_numbers_is_told(tmp_path, command):
    with pytest.raises(InputError, match="provenance"):
        tables.read(tmp_path)
    for name in names():
        if not entry(name).done:
            code, _, err = command("paper", name)
            assert code == 2
            assert "--scale quick --store DIR" in err


SMALL = DropoutNetwork(dataset="synthetic", n_validation=50, width=4, depth=1, max_epochs=1)
PLAN = Study(system=SMALL, grid={"n_train": [60, 90]}, realizations=2)


class MadeUp(Entry):
    """Of given studies."""

    def plans(self, scale):
        return {"one": PLAN, "two": Study(system=replace(SMALL, n_train=90), seed=1)}


def made_up(measure, needs=("one",)):
    return MadeUp(
        name="papers/made-up",
        title="",
        studies=("one", "two"),
        needs=needs,
        own={},
        measure=measure,
        draw=lambda found: Figure(),
        say=lambda found: str(found),
    )


def test_a_module_is_an_entry_or_declares_several():
    about = {"TITLE": "t", "STUDIES": ("one", "two"), "measure": sizes, "draw": str, "say": str}
    module = ModuleType("criticality.papers.findings.single")
    vars(module).update(about)
    (single,) = declared(module, "findings")
    assert (single.name, single.needs, single.own) == ("findings/single", ("one", "two"), {})
    vars(module).update(NEEDS=("one",), OWN={"two": "here:There"})
    (single,) = declared(module, "findings")
    assert (single.needs, single.own) == (("one",), {"two": "here:There"})
    several = ModuleType("criticality.papers.findings.several")
    assert declared(several, "findings") == ()
    several.ENTRIES = (made_up(sizes), single)
    assert declared(several, "findings") == several.ENTRIES


def test_entries_are_listed_by_paper_and_number():
    assert sorted(["p/fig10", "p/fig2", "p/fig4b", "p/fig4"], key=natural) == [
        "p/fig2",
        "p/fig4",
        "p/fig4b",
        "p/fig10",
    ]
    kept = {path.parent for path in (HERE / "numbers").rglob(tables.ORIGIN)}
    assert kept <= {entry(name).kept for name in names()}
    rooms = [name.split("/")[0] for name in names()]
    assert sorted(rooms, key=PAPERS.index) == rooms


def sizes(stores):
    opened = {stem: store.open(observables=["loss"]) for stem, store in stores.items()}
    return {"t": pd.DataFrame([{stem: ds.sizes.get("n_train", 1) for stem, ds in opened.items()}])}


def test_what_is_measured_says_where_it_comes_from(tmp_path):
    run(replace(PLAN, grid={"n_train": [60]}), tmp_path / "full" / "one", workers=1)
    made = made_up(sizes)
    numbers, origin = make.measured(made, "full", tmp_path)
    assert numbers["t"].to_dict("records") == [{"one": 1}]  # what is empty is left out
    told = origin["studies"]["one"]
    assert (told["done"], told["tasks"], told["realizations"]) == (2, 4, 2)
    assert (origin["studies"]["two"]["done"], origin["studies"]["two"]["tasks"]) == (0, 1)
    assert told["version"] == [2]
    assert re.match(r"\d{4}-\d\d-\d\d$", origin["date"])
    files = make.save(made, numbers, origin, tmp_path / "out", ["svg"])
    assert "2 of 5 networks" in files[-1].read_text()
    run(PLAN, tmp_path / "quick" / "one", workers=1)
    run(made.plans("")["two"], tmp_path / "quick" / "two", workers=1)
    numbers, origin = make.measured(made, "quick", tmp_path)
    assert make.marks(origin) == ["quick version"]
    text = make.save(made, numbers, origin, tmp_path / "out", ["svg"])[-1].read_text()
    assert "quick version" in text
    assert "networks" not in text
    text = make.save(made, numbers, origin | {"scale": "full"}, tmp_path / "out", ["svg"])[-1]
    assert "quick version" not in text.read_text()
    with pytest.raises(InputError, match="papers/made-up --scale full"):
        make.measured(made_up(sizes, ("one", "two")), "full", tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Study(system=SMALL, grid={"n_train": [60, 70]}, realizations=2), "n_train is 70"),
        (Study(system=replace(SMALL, width=6), grid={"n_train": [60]}), "width"),
        (Study(system=SMALL, grid={"n_train": [60], "width": [4, 6]}), "width is 6"),
        (Study(system=SMALL, grid={"n_train": [60]}, seed=3), "seed"),
    ],
)
def test_stores_of_other_studies_are_refused(other, message, tmp_path):
    Store(tmp_path / "full" / "one").begin(other.plan())
    with pytest.raises(InputError, match=message):
        make.measured(made_up(sizes), "full", tmp_path)


@pytest.mark.parametrize(
    ("numbers", "flags", "words"),
    [
        ((0.5123, 0.017, 0.4783, 0.5451), [], "0.512(17) [0.478, 0.545]"),
        ((0.5123, 0.017, 0.4783, math.inf), ["few"], "0.512(17) [0.478, open] (few)"),
        ((12.34, 2.5, 7.4, 17.3), [], "12.3(25) [7.4, 17.3]"),
        ((1234.0, 250.0, 734.0, 1734.0), [], "1234(250) [734, 1734]"),
        ((math.nan, math.nan, 0.6, 1.0), ["stays above"], "none [0.60, 1.00] (stays above)"),
        ((math.nan, math.nan, -math.inf, math.inf), ["stays below"], "none (stays below)"),
        ((math.nan, math.nan, math.nan, math.nan), ["amentia"], "none (amentia)"),
        ((0.25, math.inf, 0.1, math.inf), [], "0.25 [0.100, open]"),
    ],
)
def test_a_row_is_said_with_its_doubts(numbers, flags, words):
    value, error, low, high = numbers
    found = rows.row(
        Estimate(value=value, error=error, low=low, high=high, n=7), [Flag(f) for f in flags]
    )
    assert found["n"] == 7
    assert rows.said(found) == words
    (back,) = tables.as_kept({"t": pd.DataFrame([found])})["t"].to_dict("records")
    assert rows.said(back) == words


def test_only_whole_networks_are_taken():
    values = np.ones((3, 4, 2))
    values[1, 3, 0] = math.nan
    ds = xr.Dataset({"accuracy": (("realization", "step", "pass"), values)})
    kept = rows.whole(ds.assign_coords(realization=[5, 6, 7]).transpose(), "accuracy")
    assert kept["realization"].values.tolist() == [5, 7]


FOREST = pd.DataFrame(
    {
        "variant": ["inside", "open", "beyond", "none"],
        "value": [0.5, 0.4, 3.0, math.nan],
        "low": [0.4, -math.inf, 2.5, 0.7],
        "high": [0.6, 0.9, 3.5, 1.0],
    }
)


@pytest.mark.parametrize("upright", [False, True])
def test_intervals_that_leave_the_frame_end_in_arrows(upright):
    ax = Figure().subplots()
    parts.intervals(
        ax, range(4), FOREST, (0.0, 1.0), marker="o", colour="k", upright=upright, label="x"
    )
    drawn = {line.get_marker(): np.array(line.get_data()) for line in ax.lines}
    shown = {form: xy[::-1] if upright else xy for form, xy in drawn.items()}
    np.testing.assert_array_equal(shown["o"], [[0.5, 0.4], [0, 1]])  # no value beyond the frame
    np.testing.assert_array_equal(shown[parts.DOWN if upright else parts.LEFT], [[0], [1]])
    np.testing.assert_array_equal(shown[parts.UP if upright else parts.RIGHT], [[1], [2]])


def test_a_forest_has_a_row_for_each_variant_and_a_line_at_the_usual():
    ax = Figure().subplots()
    groups = {"a": FOREST, "b": FOREST[:2].assign(value=[0.1, 0.2])}
    parts.forest(ax, groups, (0.0, 1.0), "inside")
    assert [text.get_text() for text in ax.get_yticklabels()] == list(FOREST["variant"])
    usual = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert usual == [0.5, 0.1]
