"""What a training set of sums forces the representation to be: linear algebra, no training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from criticality.base import Card, Observable, Phase, Rule, control

__all__ = ["EffectiveTheory"]

FREE = 2  # dimensions that addition always leaves: E_k = a + k b
NULL = 1e-9  # of the largest eigenvalue: below it one is zero
FORCED = 1e-7  # components in the null space that differ by less are the same
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EffectiveTheory:
    """Embeddings E_k of p symbols, pulled into parallelograms by the sums that are trained on.

    Samples are the unordered pairs i <= j, p (p+1)/2 of them.  Two training samples of one sum,
    i + j = m + n, demand E_i + E_j = E_m + E_n: a row e_i + e_j - e_m - e_n of the matrix A.  If
    its null space has the least dimension n_0 = p - rank A = 2, the representation is E_k = a + k b
    and generalises to every sum.  Fractions of one realization are nested: the first samples of
    one random order.
    """

    card: ClassVar[Card] = Card(
        name="grokking_theory",
        source="Liu et al., Towards understanding grokking, arXiv:2205.10343 (effective theory)",
        observables=(
            Observable(
                name="determined",
                dims=("fraction",),
                doc="1 if the training set forces E_k = a + k b (n_0 = 2), else 0",
                label="probability of $n_0 = 2$",
            ),
            Observable(
                name="null_dimension",
                dims=("fraction",),
                doc="n_0 = p - rank A",
                label="dimension $n_0$",
            ),
            Observable(
                name="rate",
                dims=("fraction",),
                unit="1/step",
                doc="slowest rate at which the representation forms, lambda_3 of H = 2 A^T A / "
                "(p |P_0|), for embeddings of variance 1; 0 if something is never formed",
                label=r"rate $\lambda_3$",
            ),
            Observable(
                name="steps",
                dims=("fraction",),
                unit="step",
                doc="1 / (rate x learning rate); +inf if something is never formed",
                label=r"predicted steps $1/(\lambda_3\eta)$",
                censored=True,
            ),
            Observable(
                name="accuracy",
                dims=("fraction",),
                doc="ideal: share of all samples that are trained on, or equal in sum and forced "
                "to be equal in E_i + E_j to one that is",
                label="ideal accuracy",
            ),
            Observable(
                name="threshold",
                doc="fraction of the sample that completes n_0 = 2",
                label="critical fraction $r_c$",
            ),
        ),
        plane=("p", "fraction"),  # the border along the fraction is r_c(p)
        phases=(
            Phase(name="determined", letter="D", colour="#8fd0f5"),
            Phase(name="free", letter="F", colour="#d55e00"),
        ),
        rules=(
            Rule(phase="determined", quantity="determined", above=0.5),
            Rule(phase="free", quantity="determined", below=0.5),
        ),
    )

    p: int = control(
        10,
        symbol="$p$",
        unit="symbol",
        doc="symbols that are added",
        interval="[3, 512]",
        label="symbols",
    )
    fraction: tuple[float, ...] = control(
        tuple(round(0.05 * i, 2) for i in range(1, 20)),
        symbol="$r$",
        doc="share of the pairs that is trained on",
        interval="[0, 1]",
        inner=True,
        label="training fraction",
    )
    learning_rate: float = control(
        0.001,
        symbol=r"$\eta$",
        doc="of the embeddings; an optimiser step is a time of so much",
        interval="(0, inf)",
        shared=True,
    )

    @classmethod
    def tiny(cls) -> EffectiveTheory:
        """Give a preset that runs in milliseconds."""
        return cls(p=8, fraction=(0.3, 0.5, 0.7))

    def work(self) -> float:
        """FLOP of one realization: an eigensystem at each fraction, and a search."""
        return 10.0 * self.p**3 * (len(self.fraction) + 2 * math.log2(self.p) + 2)

    def compute(self, rng: np.random.Generator, data: Any) -> dict[str, Any]:
        """Draw an order of all pairs, and look at its beginnings."""
        pairs = np.argwhere(np.tri(self.p, dtype=bool))[:, ::-1]  # i <= j
        pairs = pairs[rng.permutation(len(pairs))]
        counts = [round(fraction * len(pairs)) for fraction in self.fraction]
        found = [_described(pairs, count, self.p) for count in counts]
        null, rate, accuracy = (np.array(column) for column in zip(*found, strict=True))
        with np.errstate(divide="ignore"):
            steps = 1 / (rate * self.learning_rate)
        return {
            "determined": null == FREE,
            "null_dimension": null,
            "rate": rate,
            "steps": steps,
            "accuracy": accuracy,
            "threshold": completing(pairs, self.p) / len(pairs),
        }


def laplacian(pairs: NDArray[np.int64], p: int) -> tuple[Array, int]:
    """A^T A and the number |P_0| of rows of A, without listing them.

    Of the vectors v_a = e_i + e_j of k samples of one sum, the rows are all v_a - v_b, and
    sum_{a<b} (v_a - v_b)(v_a - v_b)^T = k sum_a v_a v_a^T - (sum_a v_a)(sum_a v_a)^T.

    Parameters
    ----------
    pairs
        [samples, 2], i <= j.
    p
        Symbols.
    """
    vectors = np.zeros((len(pairs), p))
    rows = np.arange(len(pairs))
    np.add.at(vectors, (rows, pairs[:, 0]), 1)
    np.add.at(vectors, (rows, pairs[:, 1]), 1)
    sums = pairs.sum(axis=1)
    of_sum = np.zeros((2 * p - 1, p))
    np.add.at(of_sum, sums, vectors)
    number = np.bincount(sums, minlength=2 * p - 1)
    matrix: Array = (vectors * number[sums][:, None]).T @ vectors - of_sum.T @ of_sum
    return matrix, int((number * (number - 1) // 2).sum())


def spectrum(pairs: NDArray[np.int64], p: int) -> tuple[Array, Array, int]:
    """Eigenvalues (ascending, zeros exact) and eigenvectors of A^T A, and |P_0|."""
    matrix, rows = laplacian(pairs, p)
    values, vectors = np.linalg.eigh(matrix)
    return np.where(values > NULL * max(values[-1], 1.0), values, 0.0), vectors, rows


def null_dimension(pairs: NDArray[np.int64], p: int) -> int:
    """Give n_0 = p - rank A of a training set."""
    return int((spectrum(pairs, p)[0] == 0).sum())


def completing(pairs: NDArray[np.int64], p: int) -> int:
    """Count the samples, in their order, after which n_0 = 2; found by bisection, since n_0 falls.

    Of three symbols or more, all sums together leave no more free.

    Parameters
    ----------
    pairs
        [p (p+1)/2, 2], all of them.
    p
        Symbols.
    """
    low, high = 0, len(pairs)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if null_dimension(pairs[:middle], p) == FREE else (middle, high)
    return high


def _described(pairs: NDArray[np.int64], count: int, p: int) -> tuple[int, float, float]:
    """n_0, slowest rate and ideal accuracy of the first `count` samples."""
    values, vectors, rows = spectrum(pairs[:count], p)
    null = int((values == 0).sum())
    rate = 2 * values[FREE] / (p * rows) if rows else 0.0
    # E_i + E_j is forced to be that of another sample of its sum if e_i + e_j - e_m - e_n has no
    # part in the null space: if both have the same components there
    free = vectors[:, :null]
    components = free[pairs[:, 0]] + free[pairs[:, 1]]
    sums = pairs.sum(axis=1)
    right = count
    for total in range(2 * p - 1):
        trained, tested = (
            components[part][sums[part] == total] for part in (slice(count), slice(count, None))
        )
        apart = np.abs(tested[:, None] - trained).max(axis=2, initial=0.0)
        right += int((apart < FORCED).any(axis=1).sum())
    return null, float(rate), right / len(pairs)
