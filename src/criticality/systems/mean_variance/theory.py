"""Field theory of mean-variance regression in one dimension: equations, solver, branches.

mu and Lambda are functions of x in [0, 1], with one target y_i at each x_i = (i + 1/2) / n.  Per
point and over rho, with alpha = (1-rho) gamma / rho and beta = (1-rho) (1-gamma) / rho,

    F = (1/n) sum_i [Lambda_i ((mu_i - y_i)^2 + e^2) - ln Lambda_i]
        + alpha int |mu'|^2 dx + beta int |Lambda'|^2 dx.

e is the resolution of the targets: each stands for a Gaussian cloud of this deviation, over which
the likelihood is averaged.  At e = 0 F has no lower bound; with e > 0 Lambda <= 1/e^2 and it has.

Between targets mu'' = Lambda'' = 0: the minima are piecewise linear, and their values at the
targets are all that there is.  Nothing is discretised.

The equations are solved with the fluxes p = 2 n^2 alpha (mu_{i+1} - mu_i) and q = 2 n^2 beta
(Lambda_{i+1} - Lambda_i) as unknowns of their own.  They stay finite as alpha and beta grow without
bound, where the Hessian of mu and ln Lambda alone has no digit left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgbtrf, dgbtrs
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigsh

from criticality.base import RunError

Array = NDArray[np.float64]

FIRST, LAST, STEP = -16.0, 16.0, 0.5  # logit of rho: ends and nodes of a path
ENDED = 1e-9  # of logit rho: a branch that cannot be followed so far has ended
CONVERGED = 1e-10  # Newton step, in units of the Fisher metric
FINEST = 1e-4  # resolution, over which rounding of mu is well below that
FAR = 0.5  # first Newton step that may still lead along a branch
GONE = 60.0  # ln Lambda beyond which nothing bounds it, at e = 0
BAND = 2
TRIALS = 2000
MOST_JUMPS = 10  # a target
NEAR = 1e-3  # a step at whose size Newton alone is tried
ROUNDED = 1e-13  # share of F that is rounding


class Fields(NamedTuple):
    """Values at the targets [n], and fluxes between them [n - 1]."""

    mean: Array
    log_precision: Array
    mean_flux: Array
    precision_flux: Array


class Weights(NamedTuple):
    """alpha of the mean and beta of the precision, over the likelihood."""

    alpha: float
    beta: float


Path = Callable[[float], Weights]  # of logit rho


class Solution(NamedTuple):
    """Fields of a minimum and where they are on the path; none where there is no bounded one."""

    place: float
    fields: Fields | None


class Jump(NamedTuple):
    """An end of a branch: where, and training MSE before and after (NaN: nothing bounded)."""

    place: float
    before: float
    after: float

    def size(self) -> float:
        """Change of training MSE; +inf if nothing is bounded."""
        return math.inf if math.isnan(self.after) else abs(self.after - self.before)


def at_share(gamma: float) -> Path:
    """Give the path of constant gamma."""
    return lambda place: Weights(gamma * math.exp(-place), (1 - gamma) * math.exp(-place))


def diagonal(place: float) -> Weights:
    """Give alpha and beta on the line rho = 1 - gamma."""
    rho = 1 / (1 + math.exp(-place))
    return Weights((1 - rho) ** 2 / rho, 1 - rho)


def objective(mean: Array, log_precision: Array, y: Array, weights: Weights, e: float) -> float:
    """Give F."""
    n = len(y)
    precision = np.exp(log_precision)
    square = precision * ((mean - y) ** 2 + e**2) - log_precision
    rough = weights.alpha * np.sum(np.diff(mean) ** 2)
    rough += weights.beta * np.sum(np.diff(precision) ** 2)
    return float(square.mean() + n * rough)


def energies(fields: Fields, weights: Weights) -> tuple[float, float]:
    """Give int |mu'|^2 and int |Lambda'|^2, exactly also where they are tiny."""
    n = len(fields.mean)
    return tuple(  # type: ignore[return-value]
        float(n * np.sum((flux / (2 * n**2 * weight)) ** 2))
        for flux, weight in zip(fields[2:], weights, strict=True)
    )


def gradient(fields: Fields, y: Array, e: float) -> tuple[Array, Array]:
    """Give n dF/dmu / sqrt(2 Lambda) and n dF/d ln Lambda [n], if the fluxes are those of both."""
    mean, log_precision, p, q = fields
    precision = np.exp(log_precision)
    r = mean - y
    by_mean = np.sqrt(2 * precision) * r - _divergence(p) / np.sqrt(2 * precision)
    return by_mean, precision * (r**2 + e**2 - _divergence(q)) - 1


def residual(fields: Fields, y: Array, weights: Weights, e: float) -> float:
    """Largest violation of any equation, each in the units in which it is solved."""
    return float(np.abs(_Linear(fields, y, weights, e).right).max())


def _divergence(flux: Array) -> Array:
    """Give what flows out of each point less what flows in."""
    found = np.zeros(len(flux) + 1)
    found[:-1] = flux
    found[1:] -= flux
    return found


class _Linear:
    """The equations, linear in a step: banded, symmetric, four unknowns a point.

    Order: mu_i, ln Lambda_i, p_{i+1/2}, q_{i+1/2}.  mu is in units of 1 / sqrt(2 Lambda), that of
    the Fisher metric; p and q so that no entry grows with alpha or beta.
    """

    def __init__(
        self, fields: Fields, y: Array, weights: Weights, e: float, shift: float = 0.0
    ) -> None:
        mean, log_precision, p, q = fields
        n = len(y)
        precision = np.exp(log_precision)
        unit = np.sqrt(2 * precision)
        between = np.exp((log_precision[1:] + log_precision[:-1]) / 2)
        by_mean, by_log = gradient(fields, y, e)
        links = []
        for stiff, level, slope, value, flux in (
            (2 * n**2 * weights.alpha, 1 / np.sqrt(2 * between), 1 / unit, mean, p),
            (2 * n**2 * weights.beta, between, precision, precision, q),
        ):
            ratio = stiff * level**2
            scale = np.sqrt(ratio / (1 + ratio)) / level
            wrong = scale * (value[1:] - value[:-1] - flux / stiff)
            links.append((scale, slope, -1 / (1 + ratio), wrong))
        matrix = np.zeros((BAND + 1, 4 * n))  # diagonal, and the two above it
        matrix[0, 0::4] = 1 + shift
        matrix[0, 1::4] = by_log + 1 + shift
        matrix[1, 0::4] = unit * (mean - y)
        right = np.zeros(4 * n)
        right[0::4], right[1::4] = -by_mean, -by_log
        for k, (scale, slope, own, wrong) in enumerate(links):
            matrix[2, k::4][:-1] = -scale * slope[:-1]  # point i with the link i + 1/2
            matrix[2, 2 + k :: 4][:-1] = scale * slope[1:]  # the link with the point i + 1
            matrix[0, 2 + k :: 4][:-1] = own
            right[2 + k :: 4][:-1] = -wrong
        self.size = 4 * n - 2
        self.matrix, self.right = matrix[:, : self.size], right[: self.size]
        self.unit, self.scales = unit, tuple(link[0] for link in links)
        full = np.zeros((3 * BAND + 1, self.size))
        for k in range(BAND + 1):
            full[2 * BAND - k, k:] = self.matrix[k, : self.size - k]
            full[2 * BAND + k, : self.size - k] = self.matrix[k, : self.size - k]
        self.factors, self.pivots, self.failed = dgbtrf(full, BAND, BAND)

    def stable(self) -> bool:
        """Whether the Hessian has an even number of negative eigenvalues, by the determinant."""
        if self.failed:
            return False
        negative = np.count_nonzero(self.factors[2 * BAND] < 0)
        swapped = np.count_nonzero(self.pivots != np.arange(self.size))
        links = len(self.scales[0]) * 2  # one negative eigenvalue each
        return bool((negative + swapped + links) % 2 == 0)

    def solve(self, right: Array) -> Array:
        found: Array = dgbtrs(self.factors, BAND, BAND, right, self.pivots)[0]
        return found

    def step(self) -> tuple[Array, Array, Array, Array]:
        """Newton's step of mu sqrt(2 Lambda), ln Lambda and of both fluxes."""
        found = self.solve(self.right)
        links = (found[2 + k :: 4] * scale for k, scale in enumerate(self.scales))
        return found[0::4], found[1::4], *links  # type: ignore[return-value]


def curvature(fields: Fields, y: Array, weights: Weights, e: float) -> float:
    """Least eigenvalue of the Hessian in the Fisher metric diag(2 Lambda, 1) / n.

    At a stationary point the Hessian is a matrix without negative eigenvalues more than blocks
    [[1, c], [c, 1]], c = (mu - y) sqrt(2 Lambda): with a shift of max |c| it is positive, and the
    least eigenvalue is the largest one of the inverse (Lanczos).
    """
    n = len(y)
    shift = 0.1 + float(np.abs((fields.mean - y) * np.exp(fields.log_precision / 2)).max()) * 2**0.5
    system = _Linear(fields, y, weights, e, shift)

    def inverse(vector: Array) -> Array:
        right = np.zeros(system.size)
        right[0::4], right[1::4] = vector[:n], vector[n:]
        found = system.solve(right)
        return np.concatenate([found[0::4], found[1::4]])

    operator = LinearOperator((2 * n, 2 * n), matvec=inverse, dtype=np.float64)
    begin = np.cos(np.arange(2 * n))  # anything, but always the same
    options = {"which": "LA", "v0": begin, "tol": 1e-9, "ncv": min(2 * n, 60)}
    largest = eigsh(operator, 1, return_eigenvectors=False, **options)
    return float(1 / largest[0]) - shift


def _moved(fields: Fields, step: tuple[Array, ...], unit: Array) -> Fields:
    mean, log_precision, p, q = step
    return Fields(
        fields.mean + mean / unit,
        fields.log_precision + log_precision,
        fields[2] + p,
        fields[3] + q,
    )


def _size(step: tuple[Array, ...]) -> float:
    return float(max(np.abs(step[0]).max(), np.abs(step[1]).max()))


def newton(fields: Fields, y: Array, weights: Weights, e: float) -> Fields | None:
    """Give the minimum near by, if undamped steps that shrink lead to one; else None."""
    last = 2 * FAR
    for _ in range(30):
        system = _Linear(fields, y, weights, e)
        if not system.stable():
            return None
        step = system.step()
        size = _size(step)
        if not size <= last / 2:
            return fields if last < CONVERGED else None
        fields, last = _moved(fields, step, system.unit), size
        if size < CONVERGED:
            return fields
    return None


def descend(fields: Fields, y: Array, weights: Weights, e: float) -> Fields | None:
    """Go down to a minimum by steps in a trust region; None if there is none on the way.

    Levenberg: the Fisher metric, times a number that rises until F does not, is added to the
    Hessian.  (F need not fall by more than its rounding: beyond an end of a branch it is flat.)

    Raises
    ------
    RunError
        If it takes too long.
    """
    shift = 1.0
    value = objective(*fields[:2], y, weights, e)
    for _ in range(TRIALS):
        system = _Linear(fields, y, weights, e, shift)
        step = system.step()
        tried, far = _moved(fields, step, system.unit), _size(step)
        if far < NEAR and (found := newton(fields, y, weights, e)) is not None:
            return found
        if system.stable() and far <= FAR:
            new = objective(*tried[:2], y, weights, e)
            if new <= value + ROUNDED * (1 + abs(value)):
                if not e and tried.log_precision.max() > GONE:
                    return None
                fields, value, shift = tried, new, shift / 3
                continue
        shift *= 2
    raise RunError(
        f"no minimum within {TRIALS} steps at alpha = {weights.alpha:g}, beta = {weights.beta:g}; "
        f"the last Newton step is {far:.1e}."
    )


def constant(y: Array, e: float, share: float = 0.0) -> Fields:
    """Give what a path begins with: mu goes to this share of each y from their mean, Lambda is one.

    Parameters
    ----------
    y
        [n], standardised.
    e
        Resolution; positive if the share is 1.
    share
        0: mu is constant; 1: it interpolates.
    """
    n = len(y)
    mean = y.mean() + share * (y - y.mean())
    level = -math.log(float(np.mean((mean - y) ** 2)) + e**2)
    return Fields(mean, np.full(n, level), np.zeros(n - 1), np.zeros(n - 1))


def advance(
    begin: Solution, place: float, path: Path, y: Array, e: float
) -> tuple[Solution, list[Jump]]:
    """Follow a minimum along the path to another place, in as many steps as it takes.

    Where the branch ends the fields go down to another minimum, if there is one.

    Raises
    ------
    RunError
        If that takes too long.
    """
    jumps: list[Jump] = []
    here, fields = begin
    step = place - here
    while fields is not None and here != place:
        there = place if abs(place - here) <= abs(step) else here + step
        found = newton(fields, y, path(there), e)
        if found is not None:
            here, fields, step = there, found, 2 * step
        elif abs(there - here) > ENDED:
            step = (there - here) / 2
        else:
            before = training_error(fields, y)
            here = there
            fields = descend(fields, y, path(here), e)
            after = math.nan if fields is None else training_error(fields, y)
            jumps.append(Jump(here, before, after))
            step = place - here
            if len(jumps) > MOST_JUMPS * len(y):
                raise RunError(
                    f"{len(jumps)} jumps up to logit rho = {here:g}: no branch is found."
                )
    return Solution(place, fields), jumps


def training_error(fields: Fields, y: Array) -> float:
    """Give the mean squared error of the mean."""
    return float(np.mean((fields.mean - y) ** 2))


class Branch(NamedTuple):
    """A path followed from one end to the other, from minimum to minimum."""

    y: Array
    path: Path
    e: float
    solutions: tuple[Solution, ...]  # at the nodes, in the order of the path
    jumps: tuple[Jump, ...]

    def at(self, place: float) -> Fields | None:
        """Give the minimum at any place, from the last node before it: no other point matters."""
        rising = self.solutions[0].place < self.solutions[-1].place
        passed = [s for s in self.solutions if s.place == place or (s.place < place) == rising]
        if not passed:  # before the path begins
            return self.solutions[0].fields and descend(
                self.solutions[0].fields, self.y, self.path(place), self.e
            )
        return advance(passed[-1], place, self.path, self.y, self.e)[0].fields

    def first(self) -> float:
        """Place where the branch that the path begins on ends; NaN if it does not."""
        return self.jumps[0].place if self.jumps else math.nan

    def largest(self) -> Jump:
        """Jump of most training error, or to where nothing is bounded; NaN if there is none."""
        none = Jump(math.nan, math.nan, math.nan)
        return max(self.jumps, key=Jump.size, default=none)


def follow(y: Array, path: Path, e: float, start: float = 0.0, step: float = STEP) -> Branch:
    """Follow minima along the whole path.

    Parameters
    ----------
    y
        [n], standardised.
    path
        What alpha and beta are.
    e
        Resolution.
    start
        Share of y that mu goes to at the beginning: at 1/2 or less the path rises from the least
        rho, otherwise it falls from the greatest.
    step
        Of logit rho, between nodes; no result depends on it.
    """
    nodes = FIRST + step * np.arange(round((LAST - FIRST) / step) + 1)
    nodes = nodes if start <= 0.5 else nodes[::-1]
    fields = None
    if e > 0 or start <= 0.5:
        fields = descend(constant(y, e, start), y, path(nodes[0]), e)
    solutions, jumps = [Solution(float(nodes[0]), fields)], []
    for place in nodes[1:]:
        solution, passed = advance(solutions[-1], float(place), path, y, e)
        solutions.append(solution)
        jumps += passed
    return Branch(y, path, e, tuple(solutions), tuple(jumps))


def equal(up: Branch, down: Branch) -> float:
    """Place between two branches' largest jumps where both have the same F (Maxwell); or NaN."""
    low, high = down.largest().place, up.largest().place
    if not low < high:
        return math.nan

    def excess(place: float) -> float:
        weights = up.path(place)
        values = [
            math.nan
            if (found := branch.at(place)) is None
            else objective(*found[:2], up.y, weights, up.e)
            for branch in (up, down)
        ]
        return values[0] - values[1]

    inside = 1e-6 * (high - low)
    low, high = low + inside, high - inside
    if not excess(low) < 0 < excess(high):
        return math.nan
    return float(brentq(excess, low, high, xtol=1e-9))


def spinodal(y: Array, path: Path, e: float = 0.0, start: float = 0.0) -> float:
    """Give rho where the calibrated minimum ends (`start` 0), or the overfit one (1); or NaN.

    Parameters
    ----------
    y
        Targets [n] at the middles of n equal parts of [0, 1], standardised.
    path
        `at_share(gamma)` or `diagonal`.
    e, start
        As of `follow`.
    """
    return float(weight(follow(y, path, e, start).first()))


def place(rho: float) -> float:
    """Give logit rho."""
    return math.log(rho) - math.log1p(-rho)


def weight(logit: float) -> float:
    """Give rho."""
    return 1 / (1 + math.exp(-logit))
