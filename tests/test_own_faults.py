"""What is wrong with a user's own system is told: exit 2 before a run, 1 for a failed task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from criticality import Card, InputError, Observable, RunError, Study, catalog, control, run, system
from criticality.base import axes
from tests.own import FILES, command, results, write

__all__ = ["command"]  # a fixture

HEAD = "from criticality import Card, Observable, control, system\n"
HALF = """
@system(observables={"m": ""})
class X:
    x: float = control(1.0)
    def begin(self, key, data): return 0
    def advance(self, state, data): return 0
"""
DIMENSION = """
@system(observables=(Observable(name="spans", dims=("time",)),))
def X(rng, x=control(1.0)): return {"spans": [1.0]}
"""
MUTABLE = """
from dataclasses import dataclass
@dataclass
class X:
    card = Card(observables=(Observable(name="m"),))
    x: float = control(1.0)
    def compute(self, rng, data): return {"m": 1.0}
"""
FIELD = """
@system(observables={"m": ""})
class X:
    steps: int = 5
    def compute(self, rng, data): return {"m": 1.0}
"""
ARGUMENT = """
@system(observables={"m": ""})
def X(rng, steps=5): return {"m": 1.0}
"""
PLANE = """
@system(observables={"m": ""}, plane=("beta",))
def X(rng, x=control(1.0)): return {"m": 1.0}
"""
ABOUT = """
@system(observables={"m": ""}, %s)
def X(rng, x=control(1.0)): return {"m": 1.0}
"""
RETURNED = """
@system(observables=(Observable(%s),))
def X(rng, x=control(1.0), k=control((1.0, 2.0), inner=True)): return {"m": 1.0}
"""
ARGUMENTS = """
@system(observables={"m": ""})
def X(rng, %s): return {"m": 1.0}
"""
BAD = {
    "absent.py:X": (None, "absent.py: cannot be read"),
    "syntax.py:X": ("x = (", "SyntaxError: '(' was never closed"),
    "exits.py:X": ("import sys\nsys.exit(0)", "exits.py, line 2: SystemExit"),
    "imports.py:X": ("import no_such_module", "line 1: ModuleNotFoundError"),
    "names.py:X": (FILES["walk.py"], "there is no X. Systems there: walk"),
    "number.py:X": ("X = 3", "not a system; expected a class with a card"),
    "list.py:X": ("X = []", "not a system; expected a class with a card"),
    "card.py:X": ("class X:\n    pass", "not a system; expected a class with a card"),
    "model.py:X": (HEAD + HALF, "has no finished, observe; a system has compute"),
    "dims.py:X": (HEAD + DIMENSION, "spans has the dimension 'time', which is no inner control"),
    "mutable.py:X": (HEAD + MUTABLE, "expected a class with a card under @dataclass(frozen=True"),
    "field.py:X": (HEAD + FIELD, "field steps: not declared with control"),
    "argument.py:X": (HEAD + ARGUMENT, "X(steps): expected a control as default"),
    "plane.py:X": (HEAD + PLANE, "unknown control 'beta'"),
    "text.py:X": (HEAD + ABOUT % 'plane="x"', """plane = 'x': expected a tuple, as ("x",)"""),
    "same.py:X": (HEAD + ABOUT % 'plane=("x",), size="x"', "and another for the size"),
    "version.py:X": (HEAD + ABOUT % 'version="2"', "version = '2': expected a whole number"),
    "repeated.py:X": (HEAD + ABOUT % 'repeated=("k",)', "unknown dimension 'k'"),
    "phases.py:X": (HEAD + ABOUT % 'phases=("a",)', "expected a tuple, as (Phase(...), ...)"),
    "clash.py:X": (HEAD + RETURNED % 'name="x"', "an observable cannot be named 'x'"),
    "slash.py:X": (HEAD + RETURNED % 'name="a/b"', "expected a name without '/'"),
    "letters.py:X": (HEAD + RETURNED % 'name="m", dims="k"', "dims = 'k': expected a tuple"),
    "twice.py:X": (HEAD + RETURNED % 'name="m", dims=("k", "k")', "one occurs twice"),
    "reserved.py:X": (HEAD + ARGUMENTS % "work=control(1.0)", "cannot be named 'work': reserved"),
    "replica.py:X": (HEAD + ARGUMENTS % "realization=control(1)", "cannot be named 'realization'"),
    "empty.py:X": (
        HEAD + ARGUMENTS % "k=control((), inner=True)",
        "expected numbers, at least one",
    ),
    "walk.py": (FILES["walk.py"], "unknown system 'walk.py'"),
    "no_such_module:X": (None, "No module named 'no_such_module'"),
}


@pytest.mark.parametrize("place", BAD)
def test_what_is_no_system_exits_2_and_says_why(place, tmp_path, command, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "walk.toml"))
    text, words = BAD[place]
    if text is not None:
        Path(place.partition(":")[0]).write_text(text)
    for arguments in (("list",), ("run", "walk.toml", "--store", "s")):
        code, _, said = command(*arguments, "--system", place)
        assert code == 2
        assert words in said
        assert len(said.splitlines()) == 1
    assert not Path("s").exists()


def test_what_does_not_belong_together_exits_2(tmp_path, command, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "walk.py", "walk.toml", "percolation.py"))
    lattice = catalog.find("percolation.py:Percolation")(L=4, lattices=1)
    run(Study(system=lattice), "lattices", workers=1)
    walk = ("--system", "walk.py:walk")
    text = FILES["walk.toml"].replace('"walk"', '"walk.py:walk"')
    Path("imports.toml").write_text(text)
    other = ("--system", "percolation.py:Percolation")
    for arguments, said in (
        (("run", "imports.toml", "--store", "s"), "a study file never imports"),
        (("run", "imports.toml", "--store", "s", *other), "a study file never imports"),
        (("run", "walk.toml", "--store", "s"), "unknown system 'walk'"),
        (("run", "walk.toml", "--store", "s", *other), "is for the system 'walk'"),
        (("run", "walk.toml", "--store", "lattices", *walk), "belongs to another study"),
        (("phases", "lattices", *walk), "holds results of percolation"),
        (("figures", "lattices", "--out", "f", *walk), "holds results of percolation"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2
        assert said in errors
        assert "Traceback" not in errors
    assert not Path("s").exists()


FAULTY = """
from criticality import control, system

RETURNED = {
    "other name": {"m": 1.0, "n": 1.0},
    "nothing": None,
    "shape": {"m": [1.0, 2.0]},
    "type": {"m": "one"},
    "complex": {"m": 1j},
}

@system(observables={"m": ""})
def faulty(rng, how=control("shape", choices=(*RETURNED, "raises")), x=control(0)):
    if x == 0:
        return {"m": 1.0}
    if how == "raises":
        raise ValueError("no such lattice")
    return RETURNED[how]
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("other name", "'n' is not declared; it declares m and returned m, n"),
        ("nothing", "returned NoneType; expected {name of an observable: array}"),
        ("shape", r"m has the shape \(2,\); expected \(\)"),
        ("type", "m is of type <U3; expected real numbers"),
        ("complex", "m is of type complex128; expected real numbers"),
        ("raises", "faulty.py, line 17: ValueError: no such lattice"),
    ],
)
def test_a_failed_task_is_named_and_the_others_are_kept(how, words, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("faulty.py").write_text(FAULTY)
    Path("study.toml").write_text('system = "faulty"\n[grid]\nx = [0, 1]\n')
    arguments = ("study.toml", "--store", "s", "--system", "faulty.py:faulty", "--workers", 1)
    code, _, said = command("run", *arguments, "--set", f"how={how}")
    assert code == 1
    assert "1 of 2 tasks failed" in said
    assert re.search(rf"realization 0 of faulty\(how='{how}', x=1\): {words}", said)
    assert "Traceback" not in said
    assert len(results(tmp_path / "s")) == 1


CALLED = """
from criticality import Phase, control, system
from criticality.base import Derived

def fails(*given, **options):
    raise ValueError("no such lattice")

@system(
    observables={"m": ""}, plane=("x",), phases=(Phase(name="a", colour="redd"),),
    classify=fails, pages=fails, threshold=fails,
)
def called(rng, x=control(0.0)): return {"m": x}

@system(observables={"m": ""}, derived=(Derived(name="d", function=lambda ds: 3.0),))
def derived(rng, x=control(0.0)): return {"m": x}
"""


@pytest.mark.parametrize("name", ["phases", "figures", "threshold"])
def test_a_fault_in_a_function_of_a_card_is_told_with_its_line(
    name, tmp_path, command, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("called.py").write_text(CALLED)
    for kind in ("called", "derived"):
        Path(f"{kind}.toml").write_text("realizations = 2\n[grid]\nx = [0.0, 1.0]\n")
        place = ("--system", f"called.py:{kind}")
        assert command("run", f"{kind}.toml", "--store", kind, "--workers", 1, *place)[0] == 0
    out = ("--out", "f") if name == "figures" else ()
    code, _, said = command(name, "called", "--system", "called.py:called", *out)
    assert (code, said) == (2, "error: called.py, line 6: ValueError: no such lattice\n")
    code, _, said = command("collapse", "derived", "--system", "called.py:derived")
    assert code == 2
    assert "derived quantity d: its function gave float" in said


WORDY = """
from criticality import control, system

@system(observables={"m": ""}, plane=("x",), size="L")
def wordy(
    rng, x=control(0.0), L=control(8), lattice=control("square", choices=("square", "cubic")),
    open=control(False),
):
    return {"m": x + (lattice == "cubic") + 0.1 * rng.normal()}
"""
SWEPT = """
realizations = 3
[grid]
x = [0.0, 0.0333333333333, 1.0]
L = [8, 16]
lattice = ["square", "cubic"]
open = [false, true]
"""


def test_axes_of_texts_and_truths_are_drawn_at_one_value(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wordy.py").write_text(WORDY)
    Path("wordy.toml").write_text(SWEPT)
    place = ("--system", "wordy.py:wordy", "--workers", 1)
    assert command("run", "wordy.toml", "--store", "s", *place)[0] == 0
    drawn = {}
    for at in ("lattice=square", "lattice=cubic"):
        code, out, _ = command("figures", "s", "--out", at, "--at", at, "--at", "open=FALSE")
        assert code == 0
        drawn[at] = [Path(line).read_bytes() for line in out.splitlines()]
    assert len(drawn["lattice=square"]) == 2
    assert drawn["lattice=square"] != drawn["lattice=cubic"]
    assert command("figures", "s", "--out", "default")[0] == 0
    assert Path("default/curves.png").read_bytes() == drawn["lattice=cubic"][0]  # the first
    for at, words in (
        ("lattice=bcc", "was not measured; lattice has the values cubic, square"),
        ("open=nan", "was not measured"),
        ("x=1.0", "none of these figures shows one value of x"),
    ):
        code, _, said = command("figures", "s", "--out", "f", "--at", at)
        assert code == 2
        assert words in said
    options = ("--select", "lattice=cubic", "--select", "open=false", "--control", "x", "--json")
    code, out, _ = command("crossings", "s", *options, "--control-range", -1, 2)
    assert code == 0, out
    code, _, said = command("phases", "s", "--select", "x=0.03")
    assert code == 2
    assert "x=0.03: was not measured" in said


JAX_FAULTY = """
import jax.numpy as jnp
from criticality import control, system

@system(observables={"m": ""})
class Faulty:
    x: float = control(1.0)
    how: str = control("shape", choices=("shape", "raises"), static=True)
    def begin(self, key, data): return jnp.zeros(3)
    def advance(self, state, data):
        return state + 1 if self.how == "shape" else state @ jnp.ones(2)
    def finished(self, state): return state[0] > 2
    def observe(self, state, data): return {"m": state}
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("shape", "m has the shape (3,); expected ()"),
        ("raises", "faulty.py, line 11: TypeError"),
    ],
)
@pytest.mark.parametrize("vectorize", [False, True])
def test_a_fault_in_jax_is_told_in_words_too(how, words, vectorize, tmp_path):
    (tmp_path / "faulty.py").write_text(JAX_FAULTY)
    kind = catalog.find(f"{tmp_path}/faulty.py:Faulty")
    study = Study(system=kind(how=how), realizations=2)
    with pytest.raises(RunError, match=r"2 of 2 tasks failed") as failed:
        run(study, tmp_path / "s", vectorize=vectorize, width=2)
    assert words in str(failed.value)


def test_in_python_what_is_no_system_is_refused_too():
    @dataclass(frozen=True, kw_only=True)
    class Forgotten:
        card: ClassVar[Card] = Card(observables=(Observable(name="m"),))
        x: float = control(1.0)
        steps: int = 5

        def compute(self, rng, data):
            return {"m": rng.normal(size=self.steps).sum()}

    with pytest.raises(InputError, match="field steps: not declared with control"):
        Study(system=Forgotten(steps=7))
    with pytest.raises(InputError, match="field steps"):
        axes(Forgotten)
    with pytest.raises(InputError, match="not a system"):
        Study(system=object())


def test_a_class_without_a_model_is_refused_before_anything_is_written(tmp_path):
    kind = system(observables={"m": ""})(type("Empty", (), {"__module__": __name__}))
    with pytest.raises(InputError, match="Empty: has no begin, advance, finished, observe"):
        run(Study(system=kind()), tmp_path / "s")
    assert not (tmp_path / "s").exists()
