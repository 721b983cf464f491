"""Hostile files and texts: mutated from valid ones by a seed, tried one after another.

    python -m tests.fuzz KIND SEED COUNT FOLDER

Each case is tried in this process, under an audit hook that is told of all imports, executions,
unpicklings, processes and files that are opened to be written.  A case may succeed, or end in one
of the errors that the command turns into a message.  Everything else is a fault, and so is whatever
takes longer than `HANG_S`, writes outside of the folder `inside`, or imports, executes, unpickles
or starts what a file names: texts that are put into files often name the module `fuzz_canary`.
The report is a line of JSON.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import hashlib
import io
import json
import logging
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
STAND_IN = ROOT / "tests" / "stand_in.py"
HANG_S = 20.0
CANARY = "fuzz_canary"

HOSTILE = (
    "nan", "-inf", "1e999", "-1", "0", "-0.0", "1e-320", "2e308", str(2**31), str(2**63),
    "-" + str(2**70), "9" * 5000, "0x10", "1_000", "1e5", "true", "false", "null", "None", '""',
    "''", "[]", "{}", "[[]]", "[" * 5000, "{" * 2000, "1979-05-27", "07:32:00", "\x00", "\ufeff",
    "\r", "\n\n", "\t", " ", ",", ";", "=", ":", "#", ".", "..", "/", "//", "../../outside", "~",
    "$HOME", "%s%n", "{0}", "\\", '"', "'", "\u2028", "\U0001f984", "\ud800", "e\u0301",
    "x" * 100_000,
    "[grid]", "[controls]", "[path]", "[[grid]]", "grid.x", "seed", "realization", "realizations",
    CANARY, f"{CANARY}:go", f"{CANARY}.py:go", f"__import__('{CANARY}').go()",
    f"!!python/name:{CANARY}.go",
    "os:system", "builtins:eval", "@/etc/passwd", "file:/etc/passwd", "table:/etc/passwd#x", "1,2",
    "[0.1, 0.2]", "[1, 'a']", "[true, 1]", "[1, 1.0]", "['a', 'a']", "[0.1, nan]", "1e17",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1.5, -0.0, 1e308, 1e999, "", "x",
    "x" * 10_000,
    "\x00", "../../outside", "\U0001f984", CANARY, f"{CANARY}:go", "os:system", "nan", [], {},
    [[]],
    [1, "a"], [True, 1], {"a": {}}, [None], [1e308, 1e309], {"": 0}, list(range(300)), 10**400,
)  # fmt: skip


# --- what may not happen ---


class Guard:
    """What the audit hook saw that may not be."""

    def __init__(self, inside: Path) -> None:
        self.inside = str(inside.resolve())
        self.on = False
        self.seen: list[str] = []
        self.imported: set[str] = set()
        known = {"criticality", "tests"}
        for path in (Path(entry) for entry in sys.path if "site-packages" in entry):
            known |= {item.name.partition(".")[0] for item in path.iterdir()}
        self.known = known | set(sys.stdlib_module_names)
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            if isinstance(path, str | bytes | os.PathLike) and flags & writes:
                self._place(event, path)
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"):
            self._place(event, arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._place(event, arguments[0])
            self._place(event, arguments[1])
        elif event == "import":
            self.imported.add(str(arguments[0]).partition(".")[0])
        elif event == "compile":
            if CANARY in str(arguments[0]):
                self.seen.append(f"compile {arguments}"[:200])
        elif event == "exec":
            code = arguments[0]
            if isinstance(code, types.CodeType) and CANARY in f"{code.co_names}{code.co_consts}":
                self.seen.append(f"exec {code}")
        elif event in (
            "pickle.find_class", "os.system", "os.exec", "os.posix_spawn",
            "os.fork", "os.forkpty", "subprocess.Popen", "socket.connect", "urllib.Request",
            "socket.getaddrinfo",
        ):  # fmt: skip
            self.seen.append(f"{event} {arguments}"[:200])

    def named(self, tried: bytes) -> None:
        """Look for modules that were asked for by a name in what was tried."""
        for name in self.imported - self.known:  # libraries try others of their own accord
            if name == CANARY or name.encode() in tried:
                self.seen.append(f"import {name}")
        self.imported.clear()

    def _place(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        there = os.path.realpath(os.fsdecode(path))
        if not there.startswith(self.inside) and there != "/dev/null":
            self.seen.append(f"{event} {there}")


class HangError(BaseException):
    """A case took too long."""


# --- mutations ---


def changed_text(text: str, rng: random.Random, others: list[str]) -> str:
    """One to four changes of a text."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        tokens = [m.span() for m in re.finditer(r"[\w.+-]+|\"[^\"]*\"|\[[^\]]*\]", text)]
        start, end = rng.choice(tokens) if tokens else (0, 0)
        at = rng.randrange(len(text) + 1)
        lines = text.splitlines(keepends=True) or [""]
        line = rng.randrange(len(lines))
        match rng.randrange(11):
            case 0 | 1 | 2:
                text = text[:start] + rng.choice(HOSTILE) + text[end:]
            case 3:
                text = text[:at] + rng.choice(HOSTILE) + text[at:]
            case 4:
                text = text[:at] + text[at + rng.randrange(1, 30) :]
            case 5:
                text = "".join(lines[:line] + lines[line + 1 :])
            case 6:
                text = "".join([*lines[: line + 1], *lines[line:]])
            case 7:
                rng.shuffle(lines)
                text = "".join(lines)
            case 8:
                other = rng.choice(others)
                cut = rng.randrange(len(other) + 1)
                text = text[:at] + other[cut : cut + rng.randrange(1, 200)] + text[at:]
            case 9:
                text = text[:start] + rng.choice("0123456789-eE.") + text[start + 1 :]
            case 10:
                quoted = '"' + rng.choice(HOSTILE) + '"'
                text = text[:start] + quoted + text[end:]
    return text


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """One to eight changes of bytes."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not found:
            return b"\x00"
        at = rng.randrange(len(found))
        match rng.randrange(7):
            case 0 | 1 | 2:
                found[at] ^= 1 << rng.randrange(8)
            case 3:
                del found[at:]
            case 4:
                found[at : at + 8] = rng.choice((b"\xff" * 8, b"\x00" * 8, b"\x80" + b"\x00" * 7))
            case 5:
                del found[at : at + rng.randrange(1, 64)]
            case 6:
                found[at:at] = found[: rng.randrange(64)]
    return bytes(found)


def changed_tree(tree: Any, rng: random.Random) -> Any:
    """One to three changes of what a JSON file holds."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return copy.deepcopy(rng.choice(VALUES))
        where, key = rng.choice(places)
        value = where[key]
        match rng.randrange(8):
            case 0 | 1 | 2 | 3:
                where[key] = copy.deepcopy(rng.choice(VALUES))
            case 4:
                del where[key]
            case 5:
                if isinstance(where, list):
                    where.append(value)
                else:
                    where[rng.choice(("", "x", "key", CANARY, key + "_"))] = value
            case 6:
                where[key] = [value]
            case 7:
                other, name = rng.choice(places)
                with contextlib.suppress(KeyError, IndexError):
                    where[key] = json.loads(json.dumps(other[name]))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def json_bytes(tree: Any, rng: random.Random) -> bytes:
    text = json.dumps(tree)  # also NaN and Infinity, which are not JSON
    if rng.random() < 0.1:
        text = changed_text(text, rng, [text])
    return text.encode("utf-8", "surrogatepass")


def encoded(text: str, rng: random.Random) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        content = changed_bytes(content, rng)
    return content


# --- kinds ---

Try = Callable[[random.Random], bytes]  # one case: what was tried, for the report


class Kinds:
    """What is fuzzed; each method prepares and gives a function that tries one case.

    The case itself is kept in `self.tried` before it is tried.
    """

    def __init__(self, folder: Path) -> None:
        self.outside = folder
        self.inside = folder / "inside"
        self.inside.mkdir(parents=True, exist_ok=True)
        self.tried: Any = b""

    def _store(self, name: str = "Nothing", **grid: list[Any]) -> Path:
        """Small finished store."""
        from criticality import Study, catalog, run

        path = self.inside / "seed"
        kind = catalog.find(f"{STAND_IN}:{name}")
        grid = grid or {"x": [0.0, 0.5, 1.0]}
        run(Study(system=kind(), grid=grid, realizations=2), path, workers=1)
        more = {axis: values[:2] for axis, values in grid.items()}
        run(Study(system=kind(), grid=more, realizations=3), path, workers=1)
        return path

    def _file(self, name: str, content: bytes) -> Path:
        path = self.inside / name
        self.tried = content
        path.write_bytes(content)
        return path

    def study(self) -> Try:
        from criticality import Study
        from criticality.base import required

        seeds = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("**/*.toml")]
        seeds += ['system = "potts"\nrealizations = 2\n[path]\nq = [2, 3]\nL = [8, 16]\n']

        def one(rng: random.Random) -> None:
            text = changed_text(rng.choice(seeds), rng, seeds)
            plan = Study.from_toml(self._file("study.toml", encoded(text, rng)))
            points = plan.systems()
            plan.plan()
            if len(points) < 500:
                plan.notes()
                if not required(points[0]):
                    _ = [task.key for task in plan.tasks()[:3]]

        return one

    def changes(self) -> Try:
        """Texts of --set."""
        from criticality import Study

        text = (ROOT / "examples" / "demo.toml").read_text(encoding="utf-8")
        path = self._file("study.toml", text.encode())
        seeds = ["width=50", "width=[50, 100]", "seed=1", "realizations=3", "dataset=synthetic"]
        seeds += [
            "p_train=[0.0, 0.5]",
            "p_eval=[0.0, 0.5]",
            "controls.depth=3",
            "grid.width=[4, 8]",
        ]

        def one(rng: random.Random) -> None:
            given = [changed_text(rng.choice(seeds), rng, seeds) for _ in range(rng.choice((1, 2)))]
            self.tried = json.dumps(given).encode()
            Study.from_toml(path, None, given).plan()

        return one

    def select(self) -> Try:
        from criticality.results import Results

        store = self._store()
        seeds = ["x=0.5", "x=0", "place=3", "realization=1", "x=1.0"]

        def one(rng: random.Random) -> None:
            given = [changed_text(rng.choice(seeds), rng, seeds) for _ in range(rng.choice((1, 2)))]
            self.tried = json.dumps(given).encode()
            Results(store, given).open("level")

        return one

    def _csv(self) -> list[str]:
        rng = random.Random(0)
        rows = [
            f"{p / 10},{size},{r},{(p / 10 - 0.5) * size**0.5 + rng.gauss(0, 0.1):.6g}"
            for size in (8, 16, 32)
            for p in range(11)
            for r in range(3)
        ]
        samples = "p,L,realization,value\n" + "\n".join(rows) + "\n"
        return [samples, samples.replace(",", ";"), samples.replace(",", "\t"), samples[:300]]

    def csv(self) -> Try:
        """CSV files of the commands of scaling, read."""
        from criticality import ScalingData

        seeds = self._csv()

        def one(rng: random.Random) -> None:
            text = changed_text(rng.choice(seeds), rng, seeds)
            path = self._file("data.csv", encoded(text, rng))
            if rng.random() < 0.2:
                ScalingData.from_csv(path, mean="value", error="realization")
            else:
                ScalingData.from_csv(path)

        return one

    def scaling(self) -> Try:
        """The commands themselves."""
        seeds = self._csv()
        commands = (
            ["crossings", "--draws", "20"],
            ["collapse", "--objective", "local-linear", "--p-c", "0.5"],
            ["collapse", "--objective", "houdayer-hartmann", "--nu", "1"],
            ["exponents", "--at", "0.5"],
            ["compare"],
        )

        def one(rng: random.Random) -> None:
            text = changed_text(rng.choice(seeds), rng, seeds)
            path = self._file("data.csv", encoded(text, rng))
            words = rng.choice(commands)
            self.main(words[0], str(path), *words[1:])

        return one

    def main(self, *words: str) -> int:
        """Run a command; exit codes of its own are 0, 1 and 2."""
        from criticality.cli import main

        sys.argv = ["criticality", *words]
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                main()
        except SystemExit as end:
            if end.code not in (0, 1, 2, None):
                raise AssertionError(f"exit {end.code}") from None
        return 0

    def table(self) -> Try:
        """Tables of `table:`."""
        from criticality import data

        rng = random.Random(0)
        rows = [f"{rng.random():.4f},{rng.random():.4f},{rng.random():.4f}" for _ in range(12)]
        seeds = ["a,b,y\n" + "\n".join(rows) + "\n"]
        seeds += [seeds[0].replace("y", "target"), seeds[0].replace(",", "\t")]

        def one(rng: random.Random) -> None:
            content = encoded(changed_text(rng.choice(seeds), rng, seeds), rng)
            name = rng.choice(("t.csv", "t.csv", "t.tsv"))
            path = self._file(name, content)
            source = f"table:{path}" + rng.choice(("", "#y", "#a", f"#{rng.choice(HOSTILE)[:99]}"))
            data.load(source).arrays()

        return one

    def result(self) -> Try:
        """Result files and journals, byte by byte, and journals line by line with right digests."""
        from criticality import Store

        seeds = [self._store(), self.inside / "large"]
        self._large(seeds[1])
        kept = {path: path.read_bytes() for seed in seeds for path in (seed / "results").iterdir()}

        def one(rng: random.Random) -> None:
            path = rng.choice(list(kept))
            content = kept[path]
            if path.suffix == ".jsonl" and rng.random() < 0.6:
                content = forged_lines(content, rng)
            else:
                content = changed_bytes(content, rng)
            self.tried = content
            path.write_bytes(content)
            store = Store(path.parent.parent)
            try:
                store.survey([path.stem])
                store.entries()
                if rng.random() < 0.3:
                    self.main("status", str(store.path))
                store.open()
            finally:
                path.write_bytes(kept[path])

        return one

    def _large(self, path: Path) -> None:
        from criticality import Study, catalog, run

        kind = catalog.find(f"{STAND_IN}:Large")
        run(Study(system=kind(size=9_000), grid={"x": [0.0, 1.0]}), path, workers=1)

    def plan(self) -> Try:
        from criticality import Store

        def look(store: Path) -> None:
            Store(store).plan()
            Store(store).open()
            Store(store).total()

        tries = [self._json("study.json", look), self._json("asked/*.json", look)]
        return lambda rng: rng.choice(tries)(rng)

    def card(self) -> Try:
        from criticality import Store
        from criticality.results import Results

        def look(store: Path) -> None:
            Store(store).card()
            Results(store, None).open()
            Store(store).open()

        return self._json("card.json", look)

    def commands(self) -> Try:
        """Commands on a store whose plan, card or parts of a plan were changed."""
        from matplotlib import font_manager

        font_manager.findfont("DejaVu Sans")  # looks for fonts with commands of the system, once
        words = (
            ("status",), ("phases", "--draws", "20"), ("figures", "--out", str(self.inside / "f")),
            ("export", "--out", str(self.inside / "t.csv")), ("crossings", "--draws", "20"),
            ("status", "--json"), ("verify",),
            ("merge", str(self.inside / "other"), "--into"),
        )  # fmt: skip
        shutil.copytree(self._store(), self.inside / "other")

        def look(store: Path, rng: random.Random) -> None:
            chosen = rng.choice(words)
            into = [str(self.inside / f"merged-{rng.random()}")] if chosen[0] == "merge" else []
            self.main(chosen[0], str(store), *chosen[1:], *into)

        names = ("card.json", "study.json", "asked/*.json")
        tries = [self._json(name, look) for name in names]
        return lambda rng: rng.choice(tries)(rng)

    def _json(self, name: str, look: Callable[..., Any]) -> Try:
        store = self._store() if not (self.inside / "seed").exists() else self.inside / "seed"
        (path,) = store.glob(name)
        kept = path.read_bytes()
        tree = json.loads(kept)
        with_rng = look.__code__.co_argcount == 2

        def one(rng: random.Random) -> None:
            self.tried = json_bytes(changed_tree(tree, rng), rng)
            path.write_bytes(self.tried)
            try:
                look(store, rng) if with_rng else look(store)
            finally:
                path.write_bytes(kept)

        return one

    def checkpoint(self) -> Try:
        """States: what is no state of this task is not used; seals are often right."""
        import jax

        from criticality import catalog, files
        from criticality.base import Task, canonical
        from criticality.engine import checkpoint

        walk = catalog.find(f"{STAND_IN}:Walk")
        task = Task(system=canonical(walk()), seed=0, realization=0, checksum="")
        states = checkpoint.Checkpoints(str(self.inside), [task])
        like = checkpoint.leaves(task.system.begin(jax.random.key(0), {}))
        states.save([(0, like, 3, 1.5)])
        path = files.checkpoint(self.inside, task.key)
        kept = path.read_bytes()

        def one(rng: random.Random) -> None:
            head, _, numbers = kept[: -files.SEAL].partition(b"\n")
            match rng.randrange(4):
                case 0:
                    content = changed_bytes(kept, rng)
                case 1:
                    content = json_bytes(changed_tree(json.loads(head), rng), rng) + b"\n" + numbers
                    content += files.seal([content])
                case 2:
                    content = changed_bytes(kept[: -files.SEAL], rng)
                    content += files.seal([content])
                case _:
                    content = head + b"\n" + changed_bytes(numbers, rng)
                    content += files.seal([content])
            self._file(path.name, content)
            again = checkpoint.Checkpoints(str(self.inside), [task])
            found = again.load(0, like)
            if found is not None:
                steps, seconds = again.earlier[0]
                if not (steps >= 0 and seconds >= 0):
                    raise AssertionError(f"goes on after {steps} advances, {seconds} s")
                if any(found[name].shape != x.shape for name, x in like.items()):
                    raise AssertionError("another shape")

        return one


def forged_lines(content: bytes, rng: random.Random) -> bytes:
    """Lines of a journal, one of them changed and its digest made right."""
    lines = content.split(b"\n")
    at = rng.randrange(max(1, len(lines) - 1))
    _, _, rest = lines[at].partition(b" ")
    try:
        rest = json_bytes(changed_tree(json.loads(rest), rng), rng).replace(b"\n", b" ")
    except ValueError:
        rest = changed_bytes(rest, rng)
    lines[at] = hashlib.sha256(rest).hexdigest().encode() + b" " + rest
    if rng.random() < 0.2:
        rng.shuffle(lines)
    return b"\n".join(lines)


# cases of the full count; those of `make test` are a hundredth
COUNTS = {
    "study": 5_000,
    "changes": 3_000,
    "select": 2_000,
    "csv": 4_000,
    "scaling": 200,
    "table": 2_500,
    "result": 2_000,
    "plan": 1_000,
    "card": 1_000,
    "commands": 300,
    "checkpoint": 1_000,
}


def listing(folder: Path, but: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of all files below a folder, but those of one part."""
    found = {}
    for path in folder.rglob("*"):
        if but not in (path, *path.parents) and path.is_file():
            about = path.lstat()
            found[str(path)] = about.st_size, about.st_mtime_ns
    return found


def no_network() -> None:
    """Nothing is fetched: what would be is not there."""
    from criticality.base import DataError
    from criticality.data import download, wheels

    def refuse(*_: Any) -> Any:
        raise DataError("no network here")

    for module, name in ((download, "_download"), (wheels, "member")):
        setattr(module, name, refuse)


def attempt(
    kind: str, seed: int, count: int, folder: Path, only: int | None = None
) -> dict[str, Any]:
    """Try so many cases; what came of them."""
    from criticality.base import DataError, InputError, RunError

    logging.getLogger("criticality").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    no_network()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{CANARY}.py").write_text("raise SystemError('imported by a name in a file')\n")
    sys.path.insert(0, str(folder))
    os.environ["XDG_CACHE_HOME"] = str(folder / "inside" / "cache")
    os.environ["MPLCONFIGDIR"] = str(folder / "inside" / "matplotlib")
    os.environ["PIP_NO_INDEX"] = "1"
    os.chdir(folder)
    kinds = Kinds(folder)
    one = getattr(kinds, kind)()
    with contextlib.suppress(InputError, DataError, RunError, OSError):
        one(random.Random(-1))  # loads what is loaded late
    guard = Guard(kinds.inside)
    before = listing(folder, kinds.inside)
    faults: dict[str, str] = {}
    outcomes: Counter[str] = Counter()
    longest = 0.0

    def stop(*_: Any) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, stop)
    for number in range(count) if only is None else [only]:
        # as a text: a case is the same whatever came before it
        rng = random.Random(f"{kind} {seed} {number}")
        faulthandler.dump_traceback_later(3 * HANG_S, exit=True)  # what hangs outside of Python
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        begun, guard.on = time.monotonic(), True
        found = ""
        try:
            one(rng)
            outcomes["accepted"] += 1
        except (InputError, DataError, RunError, OSError) as error:
            outcomes[type(error).__name__] += 1
            if not str(error).strip():
                found = "an error without a word"
        except HangError:
            found = "hangs: " + "".join(traceback.format_exc().splitlines(keepends=True)[-6:])
        except BaseException as error:
            found = where(error)
            if only is not None:
                traceback.print_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            guard.on = False
        guard.named(kinds.tried)
        longest = max(longest, time.monotonic() - begun)
        if guard.seen:
            found = found or f"did: {guard.seen[0]}"
            guard.seen.clear()
        if found:
            outcomes["faults"] += 1
            if found not in faults:
                faults[found] = f"{kind} {seed} {number}: {kinds.tried[:300]!r}"
    faulthandler.cancel_dump_traceback_later()
    after = listing(folder, kinds.inside)
    for path in before.keys() ^ after.keys() | {p for p in before if before[p] != after.get(p)}:
        faults[f"written outside: {path}"] = ""
    shutil.rmtree(kinds.inside, ignore_errors=True)
    return {
        "kind": kind,
        "cases": count,
        "outcomes": dict(outcomes),
        "longest_s": round(longest, 2),
        "faults": faults,
    }


def where(error: BaseException) -> str:
    """Name of an exception, and the last line of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "criticality" in f.filename and "tests/" not in f.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {place}: {str(error)[:120]}"


if __name__ == "__main__":
    _, wanted, number, count, place, *rest = sys.argv
    chosen = int(rest[0]) if rest else None
    print(json.dumps(attempt(wanted, int(number), int(count), Path(place), chosen)))
