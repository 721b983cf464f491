"""The site is built, its gallery run; its pages are complete, and stay at home."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import browser, opened
from tests.own import command
from tests.page import agree, follow

__all__ = ["browser", "command", "opened"]  # fixtures

ROOT = Path(__file__).parent.parent
PUBLIC = ("criticality", "criticality.analysis.scaling", "criticality.figures")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build it; a warning, a broken link and a claim of the gallery that fails are errors."""
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*words, "-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


class Wanted(HTMLParser):
    """What a page makes a browser load by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        loads = tag != "link" or told.get("rel") not in ("canonical", "next", "prev", "search")
        names = {"a": (), "link": ("href",)}.get(tag, ("src", "srcset", "data", "poster"))
        self.found += [told[name] for name in names if loads and told.get(name)]


def test_no_page_asks_another_host_for_anything(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        wanted = Wanted()
        wanted.feed(page.read_text(encoding="utf-8"))
        assert wanted.found
        away = [url for url in wanted.found if re.match(r"(?:\w+:)?//", url)]
        assert not away, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:\w+:)?//|@import", sheet.read_text(encoding="utf-8"))


def test_every_public_name_has_its_place_in_the_reference(site):
    anchors = set()
    for page in (site / "api").glob("*.html"):
        anchors |= set(re.findall(r'id="(criticality[\w.]*)"', page.read_text(encoding="utf-8")))
    for room in PUBLIC:
        for name in importlib.import_module(room).__all__:
            assert any(a.endswith(f".{name}") for a in anchors), (room, name)


def test_every_script_of_the_gallery_was_run_and_shows_a_figure(site):
    scripts = sorted((ROOT / "docs/gallery").glob("plot_*.py"))
    assert len(scripts) >= 6
    for script in scripts:
        assert "assert " in script.read_text(encoding="utf-8"), "it claims nothing"
        page = (site / "made" / f"{script.stem}.html").read_text(encoding="utf-8")
        assert f"sphx_glr_{script.stem}_001.png" in page


RAISED = {"stays {side}": {"stays below", "stays above"}}  # names that the code puts together
GIVEN = {"name": {"none", "flat", "multiple", "touching"}}  # crossings.nowhere


def flags():
    """Names of all flags that the code raises."""
    for file in (ROOT / "src/criticality").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Flag" and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    yield name.value
                else:
                    yield from ({**RAISED, **GIVEN})[ast.unparse(name).removeprefix("f").strip("'")]


def test_every_flag_is_explained_and_no_other():
    page = (ROOT / "docs/reading.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]*) \|", page.partition("## Flags")[2], re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == set(flags())


@pytest.mark.parametrize("page", ["tutorial.md", "csv.md"])
def test_what_a_page_says_is_what_its_commands_write(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "perceptron", raising=False)  # of another page
    compared = 0
    for should, does in follow(page, command):
        agree(should, does)
        compared += 1
    assert compared >= 4


def test_the_search_finds_pages_from_disk(site, opened):
    page = opened().page
    page.goto((site / "search.html").as_uri() + "?q=percolation")
    page.wait_for_selector("#search-results li a")
    hits = page.locator("#search-results li a").all_inner_texts()
    assert any("Percolation" in hit for hit in hits)
    page.locator("#search-results li a").first.click()
    page.wait_for_selector("h1")
