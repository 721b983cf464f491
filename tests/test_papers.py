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
