"""Small tables for notebooks, in the colours of the page that shows them.

All text is escaped but what is `Markup` already, and none of it is taken for TeX: MathJax makes
links of it.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = """<style>
div.criticality table {border-collapse: collapse; border: 0; margin: .4em 0; color: inherit;
  table-layout: auto; font-variant-numeric: tabular-nums}
div.criticality th, div.criticality td {text-align: left; vertical-align: top; border: 0;
  padding: .15em 1em .15em 0; white-space: normal; max-width: 44em}
div.criticality thead th {border-bottom: 1px solid currentColor}
div.criticality table.map th, div.criticality table.map td {text-align: center; padding: 0 .25em;
  min-width: 1.6em; vertical-align: middle; white-space: nowrap; font-weight: normal;
  border: 0}
div.criticality ul {margin: .2em 0; padding-left: 1.4em}
</style>"""
IGNORED = "tex2jax_ignore mathjax_ignore"
COLOUR = re.compile("#[0-9a-fA-F]{6}|[a-zA-Z]{3,20}")  # all else might be other CSS
NONE = "\N{EN DASH}"
HATCH = "repeating-linear-gradient(135deg, transparent 0 3px, #8888 3px 4px)"
MOST = 8  # values of a list that are shown


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: Any) -> str:
    """Text of a value; of a number four digits."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return NONE if math.isnan(value) else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    return html.escape(str(value))


def panel(title: object, *parts: str) -> str:
    """Give what a notebook shows: a title, and parts that are HTML."""
    head = f"<strong>{escaped(title)}</strong>"
    return f'<div class="criticality {IGNORED}">{STYLE}{head}{"".join(parts)}</div>'


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """Rows of values under a head; the first of a row names it, a column of nothing is left out."""
    rows = [[escaped(value) for value in row] for row in rows]
    told = [not i or any(row[i] for row in rows) for i in range(len(head))]
    head = [*itertools.compress(head, told)]
    rows = [[Markup(value) for value in itertools.compress(row, told)] for row in rows]
    cells = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    return Markup(f"<table><thead><tr>{cells}</tr></thead>{_body(rows)}</table>")


def facts(about: Mapping[str, object]) -> Markup:
    """Names and values; what is empty is left out."""
    return Markup(
        f"<table>{_body((n, v) for n, v in about.items() if v not in ('', None))}</table>"
    )


def _body(rows: Iterable[Sequence[object]]) -> str:
    lines = (
        f'<tr><th scope="row">{escaped(first)}</th>'
        f"{''.join(f'<td>{escaped(value)}</td>' for value in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<tbody>{''.join(lines)}</tbody>"


def folded(summary: object, content: str) -> Markup:
    """Content that is shown when one asks for it."""
    return Markup(f"<details><summary>{escaped(summary)}</summary>{content}</details>")


def doubts(flags: Iterable[object]) -> Markup:
    """Give a list of flags in words, if there are any."""
    items = "".join(f"<li>{escaped(flag)}</li>" for flag in flags)
    return Markup(f"Doubts:<ul>{items}</ul>" if items else "")


def several(flags: Iterable[object]) -> str:
    """Join flags in one line."""
    return "; ".join(map(str, flags))


def listed(values: Sequence[object]) -> str:
    """Values of an axis, the middle of many left out."""
    shown = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
    if len(shown) > MOST:
        shown[MOST // 2 : -MOST // 2 + 1] = ["…"]
    return ", ".join(shown)


def interval(low: float, high: float, error: float = math.nan) -> str:
    """Give the ends of an interval, with two digits of what is between.

    Where one end is open, the other has the digits of the `error` of what is in it.
    """
    if math.isnan(low) or math.isnan(high):
        return NONE
    if math.isinf(low) and math.isinf(high):
        return "no bound" if low < high else f"beyond the {'lower' if low < 0 else 'upper'} end"
    width = error if math.isinf(high - low) else high - low
    digits = 1 - math.floor(math.log10(width)) if 0 < width < math.inf else -1
    first, last = (
        (f"{x:.{digits}f}" if 0 <= digits <= 15 else escaped(x)).replace("-", "\N{MINUS SIGN}")
        for x in (low, high)
    )
    if math.isinf(low) or math.isinf(high):
        return f"below {last}" if low < 0 else f"above {first}"
    return f"{first} to {last}"


def swatch(text: object, colour: str, hatched: bool = False, tag: str = "td") -> Markup:
    """Cell of a map: a letter on its colour, if it is one that can be trusted."""
    style = f"background: {HATCH}" if hatched else ""
    if COLOUR.fullmatch(colour):
        style = f"background: {HATCH + ', ' if hatched else ''}{colour}; color: {_ink(colour)}"
    return Markup(f'<{tag} style="{style}">{escaped(text)}</{tag}>')


def _ink(colour: str) -> str:
    """Black or white, whichever is read on a colour; a name of a colour is taken to be light."""
    if not colour.startswith("#"):
        return "#000"
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    light = sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
    return "#000" if light > 128 else "#fff"
