"""The answer in words: numbers with errors, and the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from criticality.papers.findings.tuning.predictions import (
    AFTERWARDS,
    BASE,
    HALF,
    LINKS,
    REFUTED,
    SURVIVED,
    UNDECIDED,
    links,
)
from criticality.papers.rows import said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from criticality.papers.tables import Tables

WORDS = {REFUTED: "fell", SURVIVED: "held", UNDECIDED: "undecided"}


def say(tables: Tables) -> str:
    """Give the effect, what became of each prediction, and of each link of the explanation."""
    setting = tables["setting"].iloc[0]
    effect = tables["effects"].set_index("variant").loc[BASE]
    lines = [
        f"FC4 of {setting['width']} units on {setting['n_train']} samples of {setting['dataset']}, "
        f"{setting['steps']} prunings by equal ratios, {setting['few']} or {setting['many']} "
        f"mini-batches after each:",
        f"more fine-tuning moves the half-way density by a factor of {said(effect)} "
        f"({effect['n']:.0f} networks of each).",
        "",
        "Share of the effect that is left, predicted and found (95 %), and the chance of what was",
        "found if it were one half, corrected for the number of predictions:",
    ]
    table = tables["predictions"]
    wide = table["name"].str.len().max()
    for one in table.to_dict("records"):
        side = f"< {HALF}" if one["expected"] == "gone" else f"> {HALF}"
        end = f"{one['adjusted']:<7.2g}  {one['verdict']}" if one["before"] else "chosen afterwards"
        lines.append(f"  {one['name']:{wide}}  {side}  {said(one):25}  n = {one['n']}  {end}")
    if effect["low"] <= 1:
        return "\n".join(
            [*lines, "", "The explanation is not tested: there is no effect to explain."]
        )
    found = links(table)
    lines += ["", "Links of the explanation:"]
    lines += [f"  {WORDS[found[link]]:9}  {LINKS[link]}" for link in found]
    judged = table["verdict"][table["verdict"] != AFTERWARDS]
    counts = judged.value_counts()
    told = ", ".join(f"{counts.get(word, 0)} {word}" for word in (SURVIVED, UNDECIDED, REFUTED))
    return "\n".join([*lines, f"Of {len(judged)} predictions: {told}.", conclusion(found)])


def conclusion(found: Mapping[str, str]) -> str:
    """Say how many links fell, and what that means for the explanation."""
    words = list(found.values())
    fell, held, undecided = (words.count(word) for word in (REFUTED, SURVIVED, UNDECIDED))
    others = f"{held} held, {undecided} undecided."
    if not fell:
        return f"Of {len(words)} links none fell: {others}"
    them = "it" if fell == 1 else "them"
    return (
        f"Of {len(words)} links {fell} fell, and with {them} the explanation as it stands; "
        f"of the others {others}"
    )
