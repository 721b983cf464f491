"""Hostile study files, tables, results, checkpoints and options: a message, and nothing else.

A small sample; all 22,000 are slow (`make test-slow`).  CRITICALITY_FUZZ=N multiplies the sample by
N; CRITICALITY_FUZZ_SEED is another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import COUNTS, ROOT

SAMPLE = int(os.environ.get("CRITICALITY_FUZZ", "1"))
SEED = os.environ.get("CRITICALITY_FUZZ_SEED", "1")
TOGETHER = [kind for kind in COUNTS if kind not in ("scaling", "commands", "checkpoint")]


def fuzzed(kind: str, count: int, folder: Path) -> dict:
    words = [sys.executable, "-m", "tests.fuzz", kind, SEED, str(count), str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{kind}: {done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def assert_no_fault(found: dict) -> None:
    print(found)
    assert not found["faults"], json.dumps(found["faults"], indent=1)
    assert sum(found["outcomes"].values()) == found["cases"]
    assert found["longest_s"] < 20


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_sample_of_hostile_input_is_refused_in_words(kind, tmp_path):
    assert_no_fault(fuzzed(kind, SAMPLE * COUNTS[kind] // 100, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_all_hostile_input_is_refused_in_words(kind, tmp_path):
    assert_no_fault(fuzzed(kind, COUNTS[kind], tmp_path))
