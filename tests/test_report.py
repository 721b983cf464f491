"""A study as one page: its numbers are those of the commands, and its texts stay texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from criticality import InputError, RunError, Study, catalog, run
from criticality.report.document import document
from criticality.report.pack import EXACT, packed, unpacked
from criticality.report.page import harmless, page
from criticality.report.write import Writing, watched
from criticality.results import Results

SYSTEM = '''
import numpy as np
from criticality import Phase, Rule, control, system


@system(
    observables={"order": "magnetisation HOSTILE", "trace": "a series"},
    plane=("field", "temperature"),
    size="L",
    phases=(Phase(name="ordered HOSTILE"), Phase(name="disordered")),
    rules=(
        Rule(phase="ordered HOSTILE", quantity="order", above=0.5),
        Rule(phase="disordered", quantity="order", below=0.5),
    ),
)
def magnet(
    rng,
    temperature=control(1.0, interval="(0, inf)", doc="temperature HOSTILE"),
    field=control(0.0),
    L=control(8, interval="[2, inf)"),
    kind=control("plain"),
):
    """A smooth step, the steeper the larger."""
    x = (1.2 + field - temperature) * L
    return {
        "order": 1 / (1 + np.exp(-x)) + rng.normal(0, 0.02),
        "trace": rng.normal(1, 0.1),
    }
'''
GRID = {
    "temperature": [0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "field": [0.0, 0.1],
    "L": [4, 8, 16],
}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028<!--"


def made(folder: Path, text: str = SYSTEM, **changes) -> Path:
    """A store of the magnet in a folder; its file is gone afterwards."""
    file = folder / "magnet.py"
    file.write_text(text, encoding="utf-8")
    kind = catalog.find(f"{file}:magnet")
    given = {"grid": GRID, "realizations": 4, "seed": 3} | changes
    run(Study(system=kind(), **given), folder / "store")
    file.unlink()
    return folder / "store"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def told(store) -> dict:
    return document(Results(store))


def rows(told: dict, panel: dict) -> list[dict]:
    """Cells of a panel, as the page makes them of its columns."""
    axes = [told["axes"][dim]["values"] for dim in panel["dims"]]
    columns = {n: unpacked(told["arrays"][c["array"]]) for n, c in panel["columns"].items()}
    found = []
    for index in np.ndindex(*map(len, axes)):
        row = {d: axis[i] for d, axis, i in zip(panel["dims"], axes, index, strict=True)}
        for name, about in panel["columns"].items():
            value = float(columns[name][index])
            if about["kind"] == "phase":
                row[name] = told["phases"][int(value)]["name"]
            elif about["kind"] == "truth":
                row[name] = value == 1
            else:
                row[name] = value if np.isfinite(value) else None
        found.append(row)
    return found


class Elements(HTMLParser):
    """Elements of a page, and what scripts and styles hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._open = tag
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, text):
        if self._open in self.inside:
            self.inside[self._open][-1] += text


# --- numbers ---


def test_cells_and_borders_are_those_of_the_command(store, told, command):
    code, out, _ = command("phases", store, "--json")
    assert code == 0
    said = json.loads(out)
    (panel,) = told["panels"]
    assert rows(told, panel) == said["cells"]
    assert panel["boundaries"] == said["boundaries"]
    assert {row["phase"] for row in said["cells"]} >= {"ordered HOSTILE", "disordered"}


def test_collapse_and_verdict_are_those_of_the_commands(store, told, command):
    assert {line["at"]["field"] for line in told["scaling"]} == {0.0, 0.1}
    line = told["scaling"][0]
    chosen = ("--select", f"field={line['at']['field']}", "--json")
    assert line["compare"] == json.loads(command("compare", store, *chosen)[1])
    assert line["collapse"]["algebraic"] == json.loads(command("collapse", store, *chosen)[1])
    assert line["compare"]["verdict"] in told["sentence"]


def test_status_is_that_of_the_command(store, told, command):
    said = json.loads(command("status", store, "--json")[1])
    assert told["status"].items() <= said.items()


def test_means_are_those_of_the_data(store, told):
    ds = Results(store).open()
    about = told["observables"]["order"]
    mean = ds["order"].mean("realization").transpose(*about["dims"])
    np.testing.assert_allclose(unpacked(told["arrays"][about["mean"]]), mean, rtol=1e-14)
    error = ds["order"].std("realization", ddof=1).transpose(*about["dims"]) / 2
    np.testing.assert_allclose(unpacked(told["arrays"][about["error"]]), error, rtol=1e-12)


def test_what_is_unresolved_and_undecided_is_said(told):
    (panel,) = told["panels"]
    unresolved = sum(row["phase"] == "unresolved" for row in rows(told, panel))
    said = " ".join(one["what"] for one in told["unresolved"])
    assert f"{unresolved} cell" in said
    assert f"{unresolved} unresolved" in told["sentence"]
    undecided = [line for line in told["scaling"] if line["compare"]["verdict"] == "undecided"]
    assert said.count("is undecided") == len(undecided)


def test_an_undecided_sweep_of_more_than_the_plane_has_a_panel_for_each_value(tmp_path, command):
    study = {"grid": {**GRID, "kind": ["plain", "other"]}, "realizations": 2}
    store = made(tmp_path, **study)
    told = document(Results(store), scaling=False)
    said = json.loads(command("phases", store, "--json")[1])
    assert [panel["at"] for panel in told["panels"]] == [one["at"] for one in said["panels"]]
    assert [panel["index"] for panel in told["panels"]] == [{"kind": 0}, {"kind": 1}]
    for panel, one in zip(told["panels"], said["panels"], strict=True):
        assert rows(told, panel) == one["cells"]
    chosen = document(Results(store, ["kind=plain"]), scaling=False)
    assert [panel["at"] for panel in chosen["panels"]] == [{}]
    assert chosen["select"] == {"kind": "plain"}
    assert chosen["sentence"].startswith("Of the study only kind = plain is shown.")


def test_a_study_without_a_plane_still_has_its_numbers(tmp_path):
    text = SYSTEM.replace('    plane=("field", "temperature"),\n    size="L",\n', "")
    text = re.sub(r"    phases=.*?\n    \),\n\)", ")", text, flags=re.DOTALL)
    told = document(Results(made(tmp_path, text, grid={"temperature": [1.0, 1.1, 1.2]})))
    assert told["panels"] == told["scaling"] == []
    assert told["plane"] == ["temperature"]
    assert "declares no phases" in told["no_phases"]
    assert unpacked(told["arrays"][told["observables"]["order"]["mean"]]).shape == (3,)


def test_what_was_run_can_be_run_again_as_the_page_says(tmp_path):
    grid = {"temperature": [0.9, 1.0], "kind": ["\U0001f600", '"\x7f\\'], "L": [4]}
    store = made(tmp_path, grid=grid, realizations=1, seed=2**53 + 1)
    told = document(Results(store.rename(tmp_path / "a b; touch c")), scaling=False)
    said = tomllib.loads(told["run"]["study"][0])
    assert said["seed"] == 2**53 + 1
    assert {*said["grid"]["kind"]} == {*grid["kind"]}
    assert shlex.split(told["run"]["command"])[-1] == "a b; touch c"
    assert told["run"]["seed"] == told["status"]["seed"] == str(2**53 + 1)  # which JSON rounds


LOOP = '''
import numpy as np
from criticality import Observable, Phase, Rule, control, system


@system(
    observables=(Observable(name="order", dims=("h",)),),
    plane=("field", "h"),
    size="L",
    phases=(Phase(name="up"), Phase(name="down")),
    rules=(
        Rule(phase="up", quantity="order", above=0.5),
        Rule(phase="down", quantity="order", below=0.5),
    ),
)
def magnet(
    rng,
    field=control(0.0),
    L=control(8),
    h=control((-1.0, 0.0, 1.0, 0.0, -1.0), inner=True, ordered=True),
):
    """A loop: on the way back it turns at a smaller field."""
    x = field + np.asarray(h) - np.array([1.2345678, 1.2345678, 1, 0.2, 0.2])
    return {"order": 1 / (1 + np.exp(-x)) + rng.normal(0, 1e-6, 5)}
'''


def test_a_border_of_a_sweep_up_and_down_stands_where_it_was_found(tmp_path):
    field = np.linspace(0, 3, 31).tolist()
    told = document(Results(made(tmp_path, LOOP, grid={"field": field, "L": [8]})), scaling=False)
    (panel,) = told["panels"]
    found = {
        place["h"]: (border["at"]["h"], border["estimate"]["value"])
        for border, place in zip(panel["boundaries"], panel["places"], strict=True)
    }
    assert [found[i][0] for i in (0, 1, 3, 4)] == [-1.0, 0.0, 0.0, -1.0]
    for i, place in enumerate((2.2345678, 1.2345678, None, 0.2, 1.2)):
        if place:
            assert found[i][1] == pytest.approx(place, abs=1e-3)
    assert "(no. 4)" in told["sentence"]
    # the interval has the digits that hold the value
    value, low, high = map(
        float, re.search(r"= ([\d.]+)\(\d+\) \(95 %: (\S+) to (\S+)\)", told["sentence"]).groups()
    )
    assert low < value < high < low + 0.01


# --- arrays ---

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(arrays.arrays(np.float64, arrays.array_shapes(max_dims=3, max_side=5), elements=NUMBERS))
def test_packed_arrays_come_back(values):
    about = packed(values)
    assert about["code"] == "f8"
    np.testing.assert_array_equal(unpacked(about), values)


def test_numbers_are_rounded_by_far_less_than_their_errors():
    rng = np.random.default_rng(0)
    values = rng.normal(size=10 * EXACT)
    values[[0, 1, 2]] = 1e6, np.nan, np.inf  # one that is far away costs the others nothing
    about = packed(values, np.full(values.shape, 1e-3 + np.abs(values)))
    assert len(about["data"]) < 6 * values.size
    np.testing.assert_allclose(unpacked(about), values, rtol=1e-7)
    for exact in (
        packed(values),
        packed(values, np.full(values.shape, 1e-9)),
    ):  # digits would be lost
        np.testing.assert_array_equal(unpacked(exact), values)


# --- the page ---


def test_a_page_is_one_file_that_asks_for_nothing(told):
    text = page(told)
    elements = Elements(text)
    for _, attributes in elements.found:
        assert not {"src", "style", "onclick", "onload", "onerror"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith(("#", "data:"))
    policy = next(a["content"] for _, a in elements.found if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    data, script = elements.inside["script"]
    for part in (script, elements.inside["style"][0]):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for word in ("eval(", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "fetch("):
        assert word not in script
    assert json.loads(data) == json.loads(harmless(told))
    assert len(text) - len(data) < 120_000


def test_texts_of_a_store_cannot_be_script(tmp_path):
    hostile = json.dumps(HOSTILE)[1:-1].replace("HOSTILE", "")
    store = made(tmp_path, SYSTEM.replace("HOSTILE", hostile))
    store = store.rename(tmp_path / "<img src=x onerror=alert(3)> [[script]]")
    told = document(Results(store), scaling=False)
    text = page(told)
    elements = Elements(text)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "img" not in [tag for tag, _ in elements.found]
    assert "<!--" not in text
    seen = json.loads(elements.inside["script"][0])
    assert seen["phases"][1]["name"] == f"ordered {HOSTILE}"
    assert seen["axes"]["temperature"]["doc"] == f"temperature {HOSTILE}"
    assert seen["store"] == store.name


@given(st.text() | st.text(alphabet="<>&/!-\u2028\u2029\ud800s", max_size=12))
def test_any_text_comes_back_from_harmless_json(text):
    data = harmless({"text": text})
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data) == {"text": text}


# --- the command ---


def test_the_command_writes_a_page(store, tmp_path, command):
    out = tmp_path / "page.html"
    code, said, err = command("report", store, "-o", out, "--no-scaling", "--json")
    assert code == 0
    assert json.loads(said)["bytes"] == out.stat().st_size
    assert "phases" in err
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [item.name for item in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("large", "warned"), [(20_000_000, False), (50_000, True)])
def test_a_large_page_is_said_with_what_makes_it_smaller(
    large, warned, store, tmp_path, command, monkeypatch
):
    monkeypatch.setattr("criticality.cli.report.LARGE", large)
    code, _, err = command("report", store, "-o", tmp_path / "page.html", "--no-scaling")
    assert code == 0
    assert ("--select AXIS=VALUE" in err) == warned


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-o", "page.pdf"], "ends in .html"),
        (["-o", "nowhere/page.html"], "no folder"),
        (["--select", "field=7"], "7"),
        (["--select", "nothing=7"], "nothing"),
        (["--plane", "nothing"], "nothing"),
        (["--watch", "--every", "0"], "between"),
        (["--system", "dropout"], "magnet"),
    ],
)
def test_bad_input_is_a_message(words, says, store, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("report", store, "--no-scaling", *words)
    assert code == 2
    assert says in err
    assert not [*tmp_path.iterdir()]


def test_what_is_no_store_is_refused(tmp_path, command):
    code, _, err = command("report", tmp_path, "-o", tmp_path / "page.html")
    assert code == 2
    assert "not a store" in err


# --- while it runs ---


def begun(folder: Path) -> tuple[Study, Path]:
    """A study of which a part is done."""
    file = folder / "magnet.py"
    file.write_text(SYSTEM, encoding="utf-8")
    kind = catalog.find(f"{file}:magnet")
    half = Study(system=kind(), grid={**GRID, "field": [0.0]}, realizations=2)
    whole = Study(system=kind(), grid=GRID, realizations=2)
    run(half, folder / "store")
    Results(folder / "store").store.begin(whole.plan())
    return whole, folder / "store"


def test_a_page_follows_a_study_until_it_is_done(tmp_path):
    whole, store = begun(tmp_path)
    out = tmp_path / "page.html"
    seen = []

    def tell(text: str) -> None:
        if text.startswith(str(out)):
            seen.append(json.loads(Elements(out.read_text("utf-8")).inside["script"][0]))
            if len(seen) == 1:
                threading.Thread(target=run, args=(whole, store)).start()

    found = watched(Writing(lambda: Results(store), out, False, tell), 0.5)
    assert seen[0]["live"] == 0.5
    assert seen[0]["status"]["done"] == 42
    last = json.loads(Elements(out.read_text("utf-8")).inside["script"][0])
    assert last["live"] is None
    assert (
        (found.done, found.total) == (84, 84) == (last["status"]["done"], last["status"]["total"])
    )


def shown(file: Path) -> dict:
    """Document of a page."""
    return json.loads(Elements(file.read_text("utf-8")).inside["script"][0])


def test_a_page_is_final_when_all_that_is_missing_failed(tmp_path):
    hot = "    if temperature > 1.2:\n        raise ValueError('too hot')\n    x = (1.2"
    text = SYSTEM.replace("    x = (1.2", hot)
    with pytest.raises(RunError):
        made(tmp_path, text, realizations=1)
    out = tmp_path / "page.html"
    said = []
    found = watched(Writing(lambda: Results(tmp_path / "store"), out, False, said.append), 0.5, 20)
    assert 0 < found.done < found.total
    assert shown(out)["live"] is None
    assert not [text for text in said if "waiting" in text or text.startswith(str(out))]


def test_ctrl_c_leaves_a_whole_page(tmp_path):
    _, store = begun(tmp_path)
    out = tmp_path / "page.html"
    words = ["report", store, "-o", out, "--watch", "--every", "0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "criticality", *map(str, words)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(2)
    assert process.wait(60) == 130
    assert shown(out)["live"] is None  # nobody follows any more
    assert out.read_text("utf-8").rstrip().endswith("</html>")


def test_a_page_that_cannot_be_written_is_a_message(store, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        Writing(lambda: Results(store), tmp_path / "no" / "page.html", False, str).once()
