"""The effective theory of grokking against exact arithmetic and brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from criticality import Study, run
from criticality.analysis.classify import values
from criticality.base import canonical
from criticality.systems.grokking import theory
from criticality.systems.grokking.theory import EffectiveTheory


def drawn(seed, p, share):
    pairs = np.array([(i, j) for j in range(p) for i in range(j + 1)])
    rng = np.random.default_rng(seed)
    return pairs[rng.permutation(len(pairs))][: round(share * len(pairs))]


def rows(pairs, p):
    """The matrix A, row by row."""
    found = [np.zeros(p, int)]
    for (i, j), (m, n) in itertools.combinations(pairs, 2):
        if i + j == m + n:
            row = np.zeros(p, int)
            for k, sign in ((i, 1), (j, 1), (m, -1), (n, -1)):
                row[k] += sign
            found.append(row)
    return np.array(found)


def exact_rank(matrix):
    """Rank over the rational numbers, by elimination."""
    left, rank = [[Fraction(int(x)) for x in row] for row in matrix], 0
    for column in range(matrix.shape[1]):
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        left = [row for row in left if row is not pivot]
        left = [
            [x - row[column] / pivot[column] * y for x, y in zip(row, pivot, strict=True)]
            for row in left
        ]
        rank += 1
    return rank


@pytest.mark.parametrize("p", [5, 8, 10])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.4, 0.5, 1.0])
def test_null_dimension_is_that_of_the_exact_rank(p, share):
    for seed in range(4):
        pairs = drawn(seed, p, share)
        matrix = rows(pairs, p)
        square, number = theory.laplacian(pairs, p)
        np.testing.assert_array_equal(square, matrix.T @ matrix)
        assert number == len(matrix) - 1
        assert theory.null_dimension(pairs, p) == p - exact_rank(matrix)


def test_all_sums_force_a_straight_line_and_no_more():
    for p in (3, 10, 33):
        assert theory.null_dimension(drawn(0, p, 1.0), p) == 2


def test_the_completing_sample_completes():
    for seed, p in itertools.product(range(5), (6, 13)):
        pairs = drawn(seed, p, 1.0)
        last = theory.completing(pairs, p)
        assert theory.null_dimension(pairs[:last], p) == 2
        assert theory.null_dimension(pairs[: last - 1], p) > 2


def test_ideal_accuracy_is_what_rows_of_the_matrix_force():
    p = 7
    pairs = drawn(3, p, 1.0)
    for count in (0, 8, 12, 16, 28):
        matrix = rows(pairs[:count], p)
        rank = exact_rank(matrix)
        right = count
        for i, j in pairs[count:]:
            for m, n in pairs[:count]:
                row = np.zeros(p, int)
                np.add.at(row, [i, j], 1)
                np.add.at(row, [m, n], -1)
                if i + j == m + n and exact_rank(np.vstack([matrix, row])) == rank:
                    right += 1
                    break
        assert theory._described(pairs, count, p)[2] == pytest.approx(right / len(pairs))


def test_the_rate_is_that_at_which_the_flow_forms_the_slowest_direction():
    # dE/dt = -H E, H = 2 A^T A / (p |P_0|): what is left of a random start decays at lambda_3
    p = 8
    pairs = drawn(1, p, 0.8)
    null, rate, _ = theory._described(pairs, len(pairs), p)
    assert null == 2
    matrix = rows(pairs, p)
    flow = 2 * matrix.T @ matrix / (p * (len(matrix) - 1))
    values, vectors = np.linalg.eigh(flow)
    start = np.random.default_rng(0).normal(size=p)
    times = np.array([40.0, 41.0]) / values[2]
    kept = vectors[:, 2:]
    left = [np.linalg.norm(np.exp(-values[2:] * t) * (kept.T @ start)) for t in times]
    assert np.log(left[0] / left[1]) / (times[1] - times[0]) == pytest.approx(rate, rel=1e-6)


def test_steps_are_never_where_something_stays_free():
    system = canonical(EffectiveTheory(), p=10, fraction=(0.1, 0.9), learning_rate=0.01)
    found = system.compute(np.random.default_rng(0), {})
    assert list(found["determined"]) == [False, True]
    assert np.isinf(found["steps"][0])
    assert found["steps"][1] == pytest.approx(1 / (0.01 * found["rate"][1]))
    assert found["accuracy"][0] < 0.3
    assert found["accuracy"][1] == 1


def test_the_probability_rises_through_a_half_near_two_fifths(tmp_path):
    # the paper's threshold at p = 10; 200 draws
    system = canonical(EffectiveTheory(), p=10, fraction=(0.35, 0.38, 0.4, 0.44, 0.45))
    ds = run(Study(system=system, realizations=200), tmp_path / "s")
    found = values(ds, "determined")
    below, above = (found["determined"].sel(fraction=r).item() for r in (0.38, 0.44))
    error = found["determined_error"].sel(fraction=0.44).item()
    assert 0.02 < error < 0.05
    assert below < 0.5 - 2 * error
    assert above > 0.5 + 2 * error
    median = float(np.median(ds["threshold"]))
    assert 0.38 < median < 0.44
