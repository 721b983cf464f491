"""One HTML file that opens from disk: style, script and numbers are in it, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib
import numpy as np

ASSETS = files("criticality.report") / "assets"
SCRIPTS = ("dom", "numbers", "data", "chart", "plane", "cell", "sections", "main")
SHADES = 64  # of a colour map
MAPS = {"values": "viridis", "signed": "PuOr"}  # perceptually uniform; told apart by colour-blind


def page(document: dict[str, Any]) -> str:
    """Give the page of a document.

    Whatever a document holds is data: it is written as JSON in which no character can end the
    element that holds it, and the script puts texts into the page as texts only.
    """
    style, script = _style(), _script()
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        f"img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(f"{document['system']['name']}: {document['store']}"),
        "style": style,
        "script": script,
        "document": harmless(document),
    }
    text = (ASSETS / "page.html").read_text(encoding="utf-8")
    # in one pass: what is put in may look like a place itself
    return re.sub(r"\[\[(\w+)\]\]", lambda found: parts[found[1]], text)


def harmless(document: Any) -> str:
    """JSON that stands in an HTML element and cannot end it, nor begin a comment."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _style() -> str:
    return (ASSETS / "report.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    """Give all modules as one function, so that nothing is global, with its colour maps."""
    parts = [(ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    maps = json.dumps({name: _colours(colours) for name, colours in MAPS.items()})
    body = "\n".join([f"const COLOUR_MAPS = {maps};", *parts])
    return f'(() => {{\n"use strict";\n{body}\n}})();\n'


def _colours(name: str) -> list[str]:
    shades = matplotlib.colormaps[name](np.linspace(0, 1, SHADES))
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
