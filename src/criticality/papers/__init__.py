"""Figures of papers and answers to questions: each is studies, what is measured of them, a figure.

An entry `findings/line` is the module `criticality.papers.findings.line`, or one of its `ENTRIES`;
its study files are in `papers/studies`, and the numbers that its studies gave, of the scale that
they say, are kept in `papers/numbers`.
"""

from criticality.papers.entry import Entry, entry, names

__all__ = ["Entry", "entry", "names"]
