from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from criticality import Study, run
from criticality.cli import main
from criticality.data import download
from criticality.engine import programs
from criticality.study import workers
from criticality.systems import DropoutNetwork

EXAMPLES = Path(__file__).parent.parent / "examples"

settings.register_profile("untimed", deadline=None)  # other workers take what time they need
settings.load_profile("untimed")


# --- workers of pytest-xdist: one a core, of one thread and bounded memory ---

PEAKS: dict[str, float] = {}  # MB


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return workers.available_cores()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Threads of one worker would only wait for those of another; read when they start."""
    os.environ.update(NPROC="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


# what takes longest begins first, so that no core waits for the other at the end
LONGEST = (
    "test_contract", "test_potts_refinement", "test_scaling", "test_own_systems", "test_pruning",
    "test_thermo_refinement", "test_potts", "test_melting", "test_lennard_jones_system",
    "test_boundaries",
    "test_three_layer", "test_reference", "test_topology", "test_rbm_phases", "test_rbm",
    "test_grokking", "test_threshold", "test_mean_variance", "test_approximation", "test_docs",
    "test_notebooks",
    "test_lanes", "test_rbm_theory", "test_clusters", "test_faults", "test_signals", "test_slurm",
    "test_sharing", "test_journal", "test_fuzz", "test_executors",
    "test_store", "test_phases", "test_dropout", "test_checkpoint", "test_workers",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_sessionstart() -> None:
    """What one worker has compiled, the others and their processes read from the user's cache."""
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    programs.jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    programs._cache_on_disk()


def pytest_sessionfinish(session: pytest.Session) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak /= 1e6 if sys.platform == "darwin" else 1e3
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak"] = peak
    else:
        PEAKS["this process"] = peak


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    PEAKS[node.gateway.id] = getattr(node, "workeroutput", {}).get("peak", float("nan"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    peaks = ", ".join(f"{name} {peak:.0f} MB" for name, peak in PEAKS.items())
    terminalreporter.write_line(f"peak memory: {peaks}")


TRIM = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # of glibc


MOST = 1.2e9  # bytes in use, from which on compiled programs are given up within a module


def _in_use() -> int:
    """Bytes of memory that this process holds, where the system says so."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


@pytest.fixture(autouse=True)
def _memory_goes_back() -> Iterator[None]:
    """Compiling takes up to 500 MB for a moment, which glibc would keep."""
    yield
    if _in_use() > MOST:
        programs._programs.clear()
        programs.jax.clear_caches()
        gc.collect()
    TRIM(0)


@pytest.fixture(scope="module", autouse=True)
def _programs_go_with_their_module() -> Iterator[None]:
    """Compiled programs take up to 30 MB each, and few are used in two modules."""
    yield
    programs._programs.clear()
    programs._resident.clear()
    programs.jax.clear_caches()
    gc.collect()


@pytest.fixture
def tiny_study() -> Study:
    """Two rates, two sizes, two realizations of a network that trains in milliseconds."""
    return Study(
        system=DropoutNetwork.tiny(),
        grid={"p_train": [0.0, 0.5], "n_train": [100, 200]},
        realizations=2,
        seed=7,
    )


STUDY = """
system = "dropout"
realizations = 3
[controls]
dataset = "synthetic"
width = 12
depth = 2
n_validation = 100
batch_size = 32
max_epochs = 20
p_eval = [0.0, 0.4, 0.8]
passes = 2
[grid]
p_train = [0.0, 0.5]
n_train = [100, 200, 400]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished store and its study file."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "study.toml").write_text(STUDY)
    run(Study.from_toml(folder / "study.toml"), folder / "store")
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["criticality", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty cache that reaches nothing; gives the cache folder."""

    def refuse(address: str) -> bytes:
        raise OSError(f"no route to {address}")

    download.load.cache_clear()
    monkeypatch.setattr(download, "_download", refuse)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CRITICALITY_DATA", raising=False)
    return tmp_path / "cache"
