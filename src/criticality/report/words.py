"""What a study found, in words, and what it does not decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from criticality.analysis.classify import PhaseDiagram
from criticality.base import UNRESOLVED, Card, html, with_error
from criticality.results import Results
from criticality.study.status import Status

Found = Sequence[tuple[Mapping[str, Any], PhaseDiagram]]
MOST = 12  # places that are named
ADVICE = {  # by the name of a flag: what would settle it
    "coarse grid": "values between those beside the crossing",
    "several crossings": "more realizations, which tell crossings from noise",
    "stays below": "values beyond that end of the axis, if there is more of it",
    "stays above": "values beyond that end of the axis, if there is more of it",
    "wrong way": "nothing here: it crosses in the other direction",
    "no error": "more realizations, or sizes",
    "no line": "more values of that axis",
}


NAMES = {  # of numbers that go with a fit
    "dof": "degrees of freedom",
    "chi2_dof": "chi2 per degree of freedom",
    "fit_probability": "probability of the fit",
    "log_amplitude": "ln of the amplitude",
    "amplitude": "amplitude",
    "sizes_used": "sizes used",
    "sizes_censored": "sizes with an infinite median",
    "source": "source of the error",
}


def title(name: str, told: Card, method: Mapping[str, Any], size: str) -> str:
    """Name of a number of a cell in words; `size` is the symbol of the size."""
    sizes = np.atleast_1d(method.get("sizes", ()))
    for end, text in (("_exponent", "exponent of {0} with {1}"), ("_limit", "{0} at infinite {1}")):
        base = name.removesuffix(end)
        if base != name and _known(base, told):
            return text.format(_label(base, told), size)
    if _known(name, told):
        at = f" at {size} = {max(sizes):g}" if len(sizes) else ""
        return f"{_label(name, told)}{at}"
    return NAMES.get(name, name.replace("_", " "))


def belongs(name: str, first: str) -> tuple[str, str]:
    """Of which number this one tells something, and what; both empty if it stands for itself.

    A bare `dof` or `amplitude` is of the `first` number, the only one of its kind.
    """
    if name in NAMES:
        return first, NAMES[name]
    for end in sorted(NAMES, key=len, reverse=True):
        if name.endswith(f"_{end}"):
            return name.removesuffix(f"_{end}"), NAMES[end]
    return "", ""


def sentence(
    results: Results, found: Status, diagrams: Found, scaled: Sequence[Mapping[str, Any]]
) -> str:
    """Say what came out, in two or three sentences."""
    said = []
    if results.chosen:
        said.append(f"Of the study only {_at(results.chosen)} is shown.")
    if diagrams:
        said.append(_phases(diagrams))
        if borders := _borders(results, diagrams):
            said.append(borders)
    else:
        n = len(results.card.observables)
        what = f"{n} measured quantit{'ies' if n > 1 else 'y'}"
        said.append(f"{what} of {found.done} realizations; no phases.")
    verdicts = Counter(line["compare"]["verdict"] for line in scaled if "compare" in line)
    if verdicts:
        words = ", ".join(
            f"{verdict}{f' on {n} lines' if n > 1 else ''}" for verdict, n in verdicts.most_common()
        )
        said.append(f"Kind of transition, by finite-size scaling of whole curves: {words}.")
    return " ".join(said).replace(" -", " \N{MINUS SIGN}")


def _phases(diagrams: Found) -> str:
    """Count the cells of each phase."""
    counts: Counter[str] = Counter()
    for _, one in diagrams:
        for code in one.cells["phase"].values[one.measured.values]:
            counts[one.phase(int(code)).name] += 1
    unresolved = counts.pop(UNRESOLVED.name, 0)
    parts = [f"{n} {name}" for name, n in counts.most_common()]
    parts.append(f"{unresolved} unresolved")
    total = unresolved + sum(counts.values())
    mark = "; " if any("," in part for part in parts) else ", "
    return f"Of {total} measured cell{'s' * (total != 1)}: {mark.join(parts)}."


def _borders(results: Results, diagrams: Found) -> str:
    """Say where the first border lies, at the first place where it is clean."""
    every = [
        ({**at, **border.at, **_there(one, border.index)}, border)
        for at, one in diagrams
        for border in one.boundaries
    ]
    crossed = [(at, border) for at, border in every if border.clean]
    clean = [
        (at, border)
        for at, border in crossed
        if not border.flags and np.isfinite([border.estimate.low, border.estimate.high]).all()
    ]
    doubted = len(crossed) - len(clean)
    if not clean:
        more = f": {doubted} of {len(every)} border points cross, but in doubt" * bool(doubted)
        return f"No border is located for sure{more}." if every else ""
    at, border = clean[0]
    estimate = border.estimate
    ends = html.interval(estimate.low, estimate.high, estimate.error)
    sides = " and ".join(name for name in border.between if name)
    signs = {name: axis.symbol for name, axis in results.axes.items()}
    where = ", ".join(f"{signs.get(name, name)} = {_short(value)}" for name, value in at.items())
    percent = f"{100 * estimate.level:g}"
    return (
        f"The border {'between' if all(border.between) else 'of'} {sides or border.quantity}"
        f"{f' at {where}' if where else ''} lies at "
        f"{signs.get(border.along, border.along)} = "
        f"{with_error(estimate.value, estimate.error)} "
        f"({percent} %: {ends}); {len(clean)} of {len(every)} border points "
        f"{'are clean crossings' if len(clean) > 1 else 'is a clean crossing'}"
        f"{f', {doubted} in doubt' * bool(doubted)}."
    )


def unresolved(
    results: Results,
    found: Status,
    diagrams: Found,
    scaled: Sequence[Mapping[str, Any]],
    no_phases: str,
) -> list[dict[str, Any]]:
    """Say what the data do not decide, and what would settle it."""
    said: list[dict[str, Any]] = []

    def say(what: str, settles: str = "", places: Sequence[str] = ()) -> None:
        said.append({"what": what, "settles": settles, "places": list(places)})

    if found.missing:
        say(
            f"{found.missing} of {found.total} tasks have no result: what is shown is of the "
            f"others.",
            "`criticality run` on this store computes what is missing, and only that.",
        )
    if found.failed:
        say(
            f"{len(found.failed)} tasks failed or gave numbers that are not finite.",
            "their reasons, below; `criticality run --retry-failed` tries them again.",
            list(found.failed.values())[:MOST],
        )
    if found.damaged:
        say(
            f"{len(found.damaged)} files of the store are damaged.",
            "`criticality run` computes again what was lost.",
            found.damaged[:MOST],
        )
    if no_phases and results.card.phases:
        say(no_phases, "a store that has the axes of the plane, or --system FILE.py:NAME.")
    _cells(diagrams, say)
    _open_borders(diagrams, say)
    for line in scaled:
        _verdict(line, say)
    if results.card.deterministic:  # more realizations would all be the same
        for one in said:
            if "realizations" in one["settles"]:
                one["settles"] = "larger sizes, or a finer grid."
    return said


def _cells(diagrams: Found, say: Any) -> None:
    """Name the cells that are in no phase, and those whose numbers are doubted."""
    open_ones: list[str] = []
    doubted: list[str] = []
    text = ""
    for at, one in diagrams:
        cells = one.cells
        dims = [str(dim) for dim in cells["phase"].dims]
        unknown = (cells["phase"].values == 0) & one.measured.values
        wrong = np.zeros(unknown.shape, bool)
        if "doubted" in cells:
            wrong = cells["doubted"].values.astype(bool) & one.measured.values
            text = str(cells["doubted"].attrs.get("long_name", "")) or "doubted"
        for where, names in ((unknown, open_ones), (wrong, doubted)):
            for index in np.argwhere(where):
                place = dict(zip(dims, map(int, index), strict=True))
                names.append(_at({**at, **_there(one, place)}))
    if open_ones:
        likely = any("likely" in one.cells for _, one in diagrams)
        n = len(open_ones)
        lead = f"{n} cell{'s are' if n > 1 else ' is'} unresolved"
        why = "no outcome is significantly the most frequent" if likely else "no phase for sure"
        say(
            f"{lead}: {why}.",
            "more realizations, as errors fall with the root of their number"
            + ("." if likely else "; or a wider range of sizes, where exponents decide."),
            _few(open_ones),
        )
    if doubted:
        n = len(doubted)
        say(f"In {n} cell{'s' * (n > 1)}: {text}.", "larger sizes.", _few(doubted))


def _open_borders(diagrams: Found, say: Any) -> None:
    """Gather borders that are in doubt by their reasons."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for at, one in diagrams:
        for border in one.boundaries:
            place = _at({**at, **border.at, **_there(one, border.index)}) or "the axis"
            for flag in border.flags:
                reasons.setdefault(flag.name, []).append((f"{border.along}* at {place}", str(flag)))
    for reason, doubts in reasons.items():
        texts = list(dict.fromkeys(text for _, text in doubts))
        n = len(doubts)
        say(
            f"{n} border point{'s' * (n > 1)}: {'; '.join(texts[:3])}.",
            f"{ADVICE[reason]}." if reason in ADVICE else "",
            _few([where for where, _ in doubts]),
        )


def _verdict(line: Mapping[str, Any], say: Any) -> None:
    """Say why a kind of transition is undecided."""
    where = _at(line["at"]) or "this line"
    if "note" in line:
        say(f"No scaling at {where}: {line['note']}")
        return
    found = line["compare"]
    if found["verdict"] == "undecided":
        say(
            f"The kind of transition at {where} is undecided: {found['reason']}.",
            "larger sizes above all, then more realizations: `required_sizes` of "
            "criticality.analysis.scaling works out how many of these data.",
        )


def _known(name: str, told: Card) -> bool:
    return name in [o.name for o in told.observables] + [d.name for d in told.derived]


def _label(name: str, told: Card) -> str:
    return told.observable(name).label or name.replace("_", " ")


def _there(one: PhaseDiagram, index: Mapping[str, int]) -> dict[str, Any]:
    """Values of axes; one that comes again, with its number."""
    found: dict[str, Any] = {}
    for name, i in index.items():
        values = one.cells[name].values.tolist()
        found[name] = values[i]
        if values.count(values[i]) > 1:
            found[name] = f"{_short(values[i])} (no. {i + 1})"
    return found


def _at(place: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(value)}" for name, value in place.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _few(places: Sequence[str]) -> list[str]:
    more = len(places) - MOST
    return [*places[:MOST], *([f"and {more} more"] if more > 0 else [])]
