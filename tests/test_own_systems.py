"""A system in a user's own file has all that a built-in one has, by command line alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from criticality import Card, Observable, RunError, Store, Study, catalog, control, run
from criticality.base import notes
from criticality.engine import checkpoint, ensemble
from criticality.engine.checkpoint import Checkpoints
from criticality.study import journal
from tests.own import FILES, command, criticality, parsed, results, words, write

__all__ = ["command"]  # a fixture

P_C, NU = 0.592746, 4 / 3  # site percolation, square lattice
T_C = 1.0  # Curie-Weiss
LATTICE = ("--system", "percolation.py:Percolation")
SPINS = ("--system", "curie_weiss.py:CurieWeiss")
LANES = ("--vectorize", "--width", 4, "--set", "N=[64]", "--set", "T=[0.94, 1.0, 1.06]")


def kill_half_way(folder: Path, *arguments: object, after: int) -> dict[str, bytes]:
    """Begin a run, kill it when some tasks are done, and give the bytes of those."""
    process = subprocess.Popen(words("run", *arguments), cwd=folder, stderr=subprocess.DEVNULL)
    store = folder / "killed"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(results(store)) < after:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return results(store)


def assert_same_arrays(a: Path, b: Path) -> None:
    """Task by task, bit for bit."""

    def arrays(store: Path) -> dict[str, str]:
        return {key: journal.unsealed(line)["arrays"] for key, line in results(store).items()}

    assert arrays(a) == arrays(b)
    xr.testing.assert_identical(Store(a).open(), Store(b).open())


# --- a plain function: percolation -------------------------------------------------------------


@pytest.fixture(scope="module")
def lattices(tmp_path_factory):
    """Percolation, run whole, and once more with a kill in the middle."""
    folder = write(tmp_path_factory.mktemp("own"), "percolation.py", "percolation.toml")
    study = ("percolation.toml", *LATTICE)
    before = kill_half_way(folder, *study, "--store", "killed", "--workers", 1, after=40)
    assert 40 <= len(before) < 200, "the kill came too late to be a test"
    assert parsed(folder, "status", "killed")["missing"] == 252 - len(before)
    for store in ("killed", "whole"):
        criticality(folder, "run", *study, "--store", store)
    assert before.items() <= results(folder / "killed").items()
    return folder


def test_a_system_is_one_file_of_under_60_lines():
    assert all(len(FILES[f"{name}.py"].splitlines()) < 60 for name in ("percolation", "walk"))
    assert len(FILES["walk.py"].splitlines()) <= 13


def test_killed_and_resumed_as_never_interrupted(lattices):
    assert_same_arrays(lattices / "killed", lattices / "whole")
    assert parsed(lattices, "status", "killed")["done"] == 252


def test_list_tells_the_controls_and_observables(lattices):
    (told,) = parsed(lattices, "list", *LATTICE).values()
    assert told["controls"]["p"]["interval"] == "[0, 1]"
    assert told["controls"]["L"]["default"] == 16
    assert set(told["observables"]) == {"spans", "largest"}


@pytest.fixture(scope="module")
def phases(lattices):
    return parsed(lattices, "phases", "whole")


@pytest.fixture(scope="module")
def collapse(lattices):
    return parsed(lattices, "collapse", "whole")


def test_phases_are_those_of_percolation(phases):
    phase = {cell["p"]: cell["phase"] for cell in phases["cells"]}
    assert {phase[p] for p in (0.56, 0.57, 0.58)} == {"not percolating"}
    assert {phase[p] for p in (0.6, 0.61, 0.62)} == {"percolating"}
    (border,) = (line["estimate"] for line in phases["boundaries"])
    assert border["low"] < P_C < border["high"]
    assert border["high"] - border["low"] < 0.02


def test_collapse_finds_the_exact_critical_point_and_exponent(collapse):
    found = collapse["params"]
    assert found["p_c"]["low"] < P_C < found["p_c"]["high"]
    assert found["nu"]["low"] < NU < found["nu"]["high"]
    assert found["p_c"]["high"] - found["p_c"]["low"] < 0.01
    assert found["nu"]["error"] < 0.25


def test_curves_cross_at_the_critical_point(lattices):
    large = parsed(lattices, "crossings", "whole")["crossings"][-1]
    assert large["sizes"] == [32, 64]
    assert large["at"]["low"] < P_C < large["at"]["high"]
    assert large["at"]["high"] - large["at"]["low"] < 0.015


def test_a_store_is_read_and_drawn_where_the_file_is_not(
    lattices, phases, collapse, tmp_path, command, monkeypatch
):
    shutil.copytree(lattices / "whole", tmp_path / "whole")
    monkeypatch.chdir(tmp_path)
    for name, there in (("phases", phases), ("collapse", collapse)):
        code, here, _ = command(name, "whole", "--json")
        assert (code, json.loads(here)) == (0, there)
    assert "252 of 252 tasks done" in command("status", "whole")[1]
    drawn = parsed(lattices, "figures", "whole", "--out", "figures")
    assert command("figures", "whole", "--out", "figures")[0] == 0
    assert set(drawn) == {"phases", "curves", "sizes"}
    for file in drawn.values():
        assert (lattices / file).read_bytes() == (tmp_path / file).read_bytes()
    # what only the file can do says that it is wanted
    code, _, said = command("run", lattices / "percolation.toml", "--store", "whole")
    assert code == 2
    assert "--system FILE.py:NAME" in said


# --- four functions in JAX ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def spins(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("own"), "curie_weiss.py", "curie_weiss.toml")
    study = ("curie_weiss.toml", *SPINS)
    before = kill_half_way(folder, *study, "--store", "killed", after=20)
    assert 20 <= len(before) < 126, "the kill came too late to be a test"
    for options in (("--store", "killed"), ("--store", "lanes", *LANES)):
        criticality(folder, "run", *study, *options)
    assert before.items() <= results(folder / "killed").items()
    return folder


def test_the_critical_temperature_of_coupled_spins(spins):
    found = parsed(spins, "collapse", "killed", "--beta", 0.5)["params"]["p_c"]
    assert found["low"] < T_C < found["high"]
    assert found["high"] - found["low"] < 0.015
    found = parsed(spins, "phases", "killed")
    phase = {cell["T"]: cell["phase"] for cell in found["cells"]}
    assert phase[0.94] == "ferromagnet"
    assert phase[1.06] == "paramagnet"
    (border,) = (line["estimate"] for line in found["boundaries"])
    assert border["low"] < T_C < border["high"]


def test_lanes_agree_with_one_after_another(spins):
    lanes = Store(spins / "lanes").open()["m"].sel(N=64)
    alone = Store(spins / "killed").open()["m"].sel(N=64, T=lanes["T"])
    entries = Store(spins / "lanes").entries()[0]
    assert {entry.attributes["lanes"] for entry in entries} == {4}
    # rounding differs, and a spin that it turns makes another chain: equal in distribution
    error = np.sqrt((alone.var("realization", ddof=1) + lanes.var("realization", ddof=1)) / 6)
    assert (abs(alone.mean("realization") - lanes.mean("realization")) < 4 * error).all()
    assert (lanes.std("realization") > 0).all()


def test_a_long_realization_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    write(tmp_path, "curie_weiss.py")
    kind = catalog.find(f"{tmp_path}/curie_weiss.py:CurieWeiss")
    study = Study(system=kind(N=8, sweeps=40))
    whole = run(study, tmp_path / "whole", workers=1)
    real, saves = Checkpoints.save, []

    def save(self, states):
        real(self, states)
        saves.append(1)
        if len(saves) == 5:
            raise MemoryError("interrupted")

    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))
    monkeypatch.setattr(ensemble, "SLICE_S", 0.0)  # of one sweep each
    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(RunError, match="interrupted"):
        run(study, tmp_path / "killed", workers=1)
    xr.testing.assert_identical(run(study, tmp_path / "killed", workers=1), whole)
    (entry,) = Store(tmp_path / "killed").entries()[0]
    assert entry.attributes["resumed_after"] == 5


# --- in Python, on any executor ----------------------------------------------------------------

SCRIPT = """
import concurrent.futures as cf, json, os, sys
from criticality import Study, catalog, control, run, system

@system(observables={"square": "of x", "noise": "standard normal"})
def mine(rng, x=control(1.0)):
    return {"square": x**2, "noise": rng.normal()}

def same(name, study):
    serial = run(study, f"{name}-serial", workers=1)
    found = {"loky": serial.identical(run(study, f"{name}-loky", workers=2))}
    with cf.ProcessPoolExecutor(2) as pool:
        found["fork"] = serial.identical(run(study, f"{name}-fork", executor=pool))
    if distributed is not None:
        executor = client.get_executor()
        found["dask"] = serial.identical(run(study, f"{name}-dask", executor=executor))
    found["varies"] = float(serial[list(serial)[-1]].std()) > 0
    return found

if __name__ == "__main__":
    try:
        import distributed
    except ImportError:
        distributed = None
    else:
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )
        assert cluster.scheduler_address.startswith("tcp://")
        client = distributed.Client(cluster)
    here = same("here", Study(system=mine(), grid={"x": [1.0, 2.0]}, realizations=3))
    kind = catalog.find("percolation.py:Percolation")
    os.remove("percolation.py")
    lattice = kind(lattices=2, p=0.6)
    file = same("file", Study(system=lattice, grid={"L": [4, 8]}, realizations=3))
    print(json.dumps({"here": here, "file": file, "jax": "jax" in sys.modules}))
    if distributed is not None:
        client.close()
        cluster.close()
"""


def test_workers_get_a_system_of_the_script_or_of_a_file_with_the_tasks(tmp_path):
    write(tmp_path, "percolation.py")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in ("here", "file"):
        assert all(found[name].values()), found
    assert not found["jax"]  # who hands work out needs none, so that forks of it work


# --- installed packages ------------------------------------------------------------------------

ENTRIES = """[criticality.systems]
percolation = my_package.lattice:Percolation
broken = my_package.missing:System
misnamed = my_package.lattice:Percolation
"""


def test_entry_points_and_modules(tmp_path):
    package, about = tmp_path / "site/my_package", tmp_path / "site/my_package-1.0.dist-info"
    for folder in (package, about):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "lattice.py").write_text(FILES["percolation.py"])
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    write(tmp_path, "percolation.toml")
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.getenv("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths}
    listed = subprocess.run(words("list"), env=env, capture_output=True, text=True, check=True)
    assert "percolation (version 1)" in listed.stdout
    assert "dropout (version" in listed.stdout
    assert re.search(r"^broken: .*No module named 'my_package.missing'", listed.stderr, re.M)
    assert re.search(r"^misnamed: .*calls itself 'percolation'", listed.stderr, re.M)
    small = ("--set", "realizations=2", "--set", "L=[4, 8]", "--set", "p=[0.5, 0.7]")
    by_name = ("run", "percolation.toml", "--store", "named", *small)
    criticality(tmp_path, *by_name, env=env)
    place = ("--system", "my_package.lattice:Percolation")
    criticality(tmp_path, "run", "percolation.toml", "--store", "placed", *small, *place, env=env)
    assert_same_arrays(tmp_path / "named", tmp_path / "placed")
    (source,) = {e.attributes["source_sha256"] for e in Store(tmp_path / "named").entries()[0]}
    assert len(source) == 64


# --- changed sources ---------------------------------------------------------------------------


def test_a_changed_source_is_told_and_nothing_is_overwritten(tmp_path, command, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "walk.py", "walk.toml"))
    run_it = ("run", "walk.toml", "--store", "s", "--system", "walk.py:walk", "--workers", 1)
    assert command(*run_it)[0] == 0
    before = results(tmp_path / "s")
    assert "has changed" not in command(*run_it)[2]
    Path("walk.py").write_text(FILES["walk.py"].replace("drift + rng", "2 * drift + rng"))
    code, _, said = command(*run_it, "--set", "realizations=21")
    assert code == 0
    assert f"changed since {len(before)} of the results here were computed" in said
    assert "raise the version and use another store" in said
    after = results(tmp_path / "s")
    assert before.items() <= after.items()
    assert len(after) == len(before) + 6
    sources = [e.attributes["source_sha256"] for e in Store("s").entries()[0]]
    assert sorted(map(sources.count, set(sources))) == [6, 120]
    newer = Path("walk.py").read_text().replace("@system(", "@system(version=2, ")
    Path("walk.py").write_text(newer)
    code, _, said = command(*run_it)
    assert code == 2
    assert "version is 1 there and 2 here" in said


def test_the_store_keeps_the_card_of_the_last_run(tmp_path, command, monkeypatch):
    monkeypatch.chdir(write(tmp_path, "walk.py", "walk.toml"))
    run_it = ("run", "walk.toml", "--store", "s", "--system", "walk.py:walk", "--workers", 1)
    assert command(*run_it)[0] == 0
    Path("walk.py").write_text(FILES["walk.py"].replace("from the start,", "from home,"))
    assert command(*run_it)[0] == 0  # nothing is left to compute
    assert Store("s").card()[0].observables[0].doc == "from home, after all steps"


def test_a_system_that_takes_a_built_in_name_is_not_taken_for_it(tmp_path):
    class Dropout:
        x: float = control(1.0)
        card = Card(name="dropout", version=2, observables=(Observable(name="y"),))

        def compute(self, rng, data):
            return {"y": self.x}

    from criticality import system

    kind = system("dropout", version=2, observables={"y": "its x"})(Dropout)
    run(Study(system=kind()), tmp_path / "s", workers=1)
    told, declared, here = catalog.card_of(Store(tmp_path / "s"))
    assert (list(declared), here) == (["x"], False)
    assert told.observables[0].name == "y"


# --- notes about points at which nothing is wrong ------------------------------------------------

NOTING = """
from criticality import control, system

@system(observables={"m": ""})
class Noting:
    load: float = control(0.1)
    size: int = control(8)
    field: float = control(0.0)

    def notes(self):
        if self.field:
            yield "a field: no transition"
        if self.load * self.size < 1:
            yield "no pattern at all"
            yield "no pattern at all"

    def compute(self, rng, data):
        return {"m": rng.random()}
"""


def test_notes_are_said_once_for_all_points_and_change_nothing(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("noting.py").write_text(NOTING)
    Path("noting.toml").write_text("[grid]\nload = [0.1, 0.05, 0.2]\nsize = [8, 16]\n")
    run_it = ("run", "noting.toml", "--store", "s", "--system", "noting.py:Noting")
    said = "note: no pattern at all  (3 of 6 points, first at load = 0.05, size = 8)\n"
    code, out, err = command(*run_it, "--dry-run")
    assert code == 0
    assert err == said
    assert "note" not in out
    assert not Path("s").exists()
    code, out, err = command(*run_it, "--workers", 1, "--quiet", "--json")
    assert (code, err) == (0, said)
    assert json.loads(out)["done"] == 6
    assert not any(b"pattern" in file.read_bytes() for file in Path("s").rglob("*.*"))
    # what holds of every point, and of a point alone
    run_it = (*run_it[:3], "other", *run_it[4:], "--dry-run", "--set", "load=1.0")
    *_, err = command(*run_it, "--set", "field=1.0")
    assert err == "note: a field: no transition  (2 of 2 points, first at size = 8)\n"
    *_, err = command(*run_it, "--set", "field=1.0", "--set", "size=8")
    assert err == "note: a field: no transition\n"
    # none where all is well, and for systems that have none to make
    assert command(*run_it)[2] == ""
    assert notes(catalog.find("topology")()) == ()


def test_a_note_of_many_points_is_told_once_with_all_of_them(tmp_path):
    (tmp_path / "noting.py").write_text(NOTING)
    kind = catalog.find(f"{tmp_path}/noting.py:Noting")
    found = Study(system=kind(), grid={"load": [k / 1e4 for k in range(10_000)]}).notes()
    assert {text: len(at) for text, at in found.items()} == {"no pattern at all": 1250}
