"""The command `paper`, and what every entry must keep."""

import json
import re

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from criticality.base import InputError
from criticality.papers import Entry, entry, make, names, tables
from tests.own import command

__all__ = ["command"]
mpl.use("Agg")
MOST_BYTES = 200_000  # of kept numbers, so that the repository stays small


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
            assert plan.realizations >= 4
        work[scale] = sum(task.system.work() for p in plans.values() for task in p.tasks())
    assert work["quick"] < work["full"] / 4


def test_every_entry_keeps_the_numbers_of_its_full_studies(done):
    numbers, origin = tables.read(done.kept)
    assert origin["entry"] == done.name
    assert origin["scale"] == "full"
    assert set(origin["studies"]) == set(done.studies)
    for stem, plan in done.plans("full").items():
        kept = origin["studies"][stem]
        assert kept["system"] == plan.plan()["system"]
        assert kept["version"] == [plan.plan()["version"]], "numbers of another version"
        assert 0 < kept["done"] <= kept["tasks"]
    assert sum(file.stat().st_size for file in done.kept.iterdir()) < MOST_BYTES
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


def test_the_list_has_a_title_of_every_entry(command):
    _, out, _ = command("paper", "list", "--json")
    assert list(json.loads(out)) == list(names())
    for name, told in json.loads(out).items():
        assert told == {"title": entry(name).title, "kept": entry(name).kept.is_dir()}
    _, out, _ = command("paper", "list")
    assert [line.split()[0] for line in out.splitlines()] == list(names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["findings/lime"], "findings/line"),
        (["../findings/line"], "findings/line"),
        (["findings/line", "--scale", "slow", "--store", "s"], "quick"),
        (["findings/line", "--scale", "quick"], "--store"),
        (["findings/line", "--store", "s"], "--scale"),
        (["findings/line", "--as-is"], "--scale"),
        (["findings/line", "--format", "gif"], "png"),
        (["findings/line", "--scale", "quick", "--store", "s", "--as-is"], "no results"),
    ],
)
def test_bad_arguments_are_told(command, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("paper", *arguments)
    assert code == 2
    assert message in err
    assert not out
    assert not list(tmp_path.iterdir())


def test_tables_come_back_as_they_were(tmp_path):
    there = {"a": pd.DataFrame({"x": [1.0, float("nan")], "word": ["yes", "no"], "n": [3, 4]})}
    tables.write(there, {"entry": "a/b"}, tmp_path / "new")
    back, origin = tables.read(tmp_path / "new")
    pd.testing.assert_frame_equal(back["a"], there["a"])
    assert origin == {"entry": "a/b"}


def test_a_folder_without_numbers_is_told(tmp_path):
    with pytest.raises(InputError, match="--scale"):
        tables.read(tmp_path)


def made_up(measure):
    """An entry of one study, whose answer is what `measure` finds."""
    return Entry(
        name="papers/made-up",
        title="",
        studies=("line",),
        own={},
        measure=measure,
        draw=lambda found: Figure(),
        say=lambda found: str(found),
    )


def test_what_is_measured_says_where_it_comes_from(tmp_path):
    from criticality import Study, run
    from criticality.systems.dropout import DropoutNetwork

    small = DropoutNetwork(dataset="synthetic", n_validation=50, width=4, depth=1, max_epochs=1)
    plan = Study(system=small, grid={"n_train": [60, 90]}, realizations=2)
    run(plan, tmp_path / "quick" / "line", workers=1)
    seen = []

    def measure(stores):
        seen.append(stores["line"].open(observables=["loss"]).sizes["n_train"])
        return {"t": pd.DataFrame({"a": [1]})}

    made = made_up(measure)
    numbers, origin = make.measured(made, "quick", tmp_path)
    assert seen == [2]
    told = origin["studies"]["line"]
    assert (told["done"], told["tasks"], told["realizations"]) == (4, 4, 2)
    assert re.match(r"\d{4}-\d\d-\d\d$", origin["date"])
    files = make.save(made, numbers, origin, tmp_path / "out", ["svg"])
    assert "quick version" in files[-1].read_text()
    files = make.save(made, numbers, origin | {"scale": "full"}, tmp_path / "out", ["svg"])
    assert "quick version" not in files[-1].read_text()
