"""Marginal likelihood of a scaling form whose master curve is a Gaussian process.

After Harada, Phys. Rev. E 84, 056704 (2011), with a Matern-5/2 kernel: y = D(L) f(x) + noise, where
f is a constant plus a smooth random function of amplitude s and correlation length l.  D stands
inside the covariance, so that shrinking all data onto nothing wins nothing.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from scipy import linalg, optimize
from scipy.stats import chi2, norm, qmc

from criticality.analysis.scaling.ansatz import Ansatz, Drift, Free
from criticality.analysis.stats import Array

CENTRES = ("p_c", "p_0")  # of the scaling variable
CHUNK = 32  # covariance matrices at a time: what stays in cache
CONSTANT = 3.0  # prior deviation of the constant in f, in units of the largest |y|
WIDTH = 1.5  # prior deviation of ln s and ln l: a factor of 4.5 either way
CORRECTION = (0.05, 1.0)  # prior of the correction at the smallest size, in spreads of y
OMEGA = (1.0, 0.5)  # prior of the correction exponent: median, deviation of its logarithm
REGULAR = (0.5, 1.0)  # prior of the relative change of f over the range, at fixed x
MOST_REGULAR = 6.0  # of it
LEAST_LENGTH = 1.5  # of l, in distances of points of the largest size: what is shorter is noise
ROOT5 = math.sqrt(5)
ADAPTATIONS = 2  # of the proposal in `posterior`
POOR_SAMPLE = 0.2  # effective share of the draws below which it is adapted
BOXES = 60  # of one unit each that a polish may cross
STUDENT = 5  # degrees of freedom of the proposal in `posterior`


class Model:
    """A form on given points, with the covariance of their means.

    A point in parameter space, theta [k], holds the free parameters of the form (their logarithm
    where the form says so) and the hyperparameters ln s, ln l, ...

    Parameters
    ----------
    ansatz
        The form.
    control, size, mean
        float64 [N].
    noise
        [N, N]: covariance of the means.
    corrections
        Put f(x) + L^-omega g(x) in place of f(x), g a second process of the same correlation
        length; omega has a log-normal prior (`OMEGA`).
    regular
        Put f(x, t) in place of f(x), analytic in t = p - p_c: a regular dependence on the control
        beside that on the scaling variable, as of amplitudes and of a nonlinear scaling field.
        The terms of the series in t are independent processes.  Of forms that have no centre t is
        counted from the middle: what one form may do on the control all may.
    sizes
        All sizes, before any were left out: limits of parameters rest on them, and so do not
        depend on what is kept.  By default those of the points.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        control: Array,
        size: Array,
        mean: Array,
        noise: Array,
        corrections: bool = False,
        regular: bool = False,
        sizes: Array | None = None,
    ) -> None:
        self.ansatz, self.corrections, self.regular = ansatz, corrections, regular
        self.control, self.size, self.mean, self.noise = control, size, mean, noise
        self.sizes = size if sizes is None else sizes
        parameters = ansatz.parameters(control, self.sizes)
        self.free = [p for p in parameters if p.fixed is None]
        self.fixed = {p.name: p.fixed for p in parameters if p.fixed is not None}
        self.centred = next((p.name for p in parameters if p.name in CENTRES), "")
        self.middle = float(control.min() + control.max()) / 2
        spread, span = float(mean.std()), float(np.ptp(control))
        self.span = span
        last = control[size == size.max()]
        gap = float(np.ptp(last)) / max(len(last) - 1, 1)
        priors = {"ln s": (spread, WIDTH), "ln l": (span / 2, WIDTH)}
        if isinstance(ansatz, Free):
            priors["ln l_2"] = (1.0, WIDTH)
        self.drift = ansatz if isinstance(ansatz, Drift) else None
        if self.drift is not None:
            priors["ln s_2"] = (spread, WIDTH)  # a decade
        if corrections:
            priors |= {"ln s_1": (CORRECTION[0] * spread, CORRECTION[1]), "ln omega": OMEGA}
        if self.regular:
            priors["ln r"] = REGULAR
        self.hyper = list(priors)
        self.centre = np.log([median for median, _ in priors.values()])
        self.width = np.array([width for _, width in priors.values()])
        least = np.where(np.array(self.hyper) == "ln l", math.log(LEAST_LENGTH * gap), -np.inf)
        low = [math.log(p.low) if p.log else p.low for p in self.free]
        high = [math.log(p.high) if p.log else p.high for p in self.free]
        self.lower = np.array([*low, *np.maximum(self.centre - 5 * self.width, least)])
        most = np.where(np.array(self.hyper) == "ln r", math.log(MOST_REGULAR), np.inf)
        self.upper = np.array([*high, *np.minimum(self.centre + 5 * self.width, most)])
        spreads = {length: float(mean[size == length].std()) for length in np.unique(size)}
        self.spread = np.maximum([spreads[length] for length in size], 1e-3 * spread)
        # what is a small step in each direction, for the optimiser
        small = [0.02 * (p.high - p.low) if p.name in CENTRES else 0.1 for p in self.free]
        self.unit = np.array([*small, *(0.5 for _ in self.hyper)])
        # without a prefactor a constant may be subtracted; a large one would drown the noise
        prefactor = any(p.name == "beta" and p.fixed != 0 for p in parameters)
        self.shift = 0.0 if prefactor else float(mean.mean())
        self.constant = (CONSTANT * float(np.abs(mean - self.shift).max())) ** 2
        self.largest = float(size.max())
        self.relative = np.log(size / size.min()) if corrections else np.zeros_like(size)
        # of the normalised prior, uniform and normal
        self.prior = -float(np.sum(np.log(np.subtract(high, low))) if self.free else 0.0) - float(
            np.sum(np.log(self.width) + 0.5 * math.log(2 * math.pi))
        )

    def blurred(self, share: float) -> Model:
        """Give the same model with errors of this share of each curve's spread added."""
        noise = self.noise + np.diag((share * self.spread) ** 2)
        columns = (self.control, self.size, self.mean, noise)
        return Model(self.ansatz, *columns, self.corrections, self.regular, self.sizes)

    def values(self, theta: Array) -> dict[str, Any]:
        """Parameters of the form at theta [..., k], each [..., 1], or a number if fixed."""
        found: dict[str, Any] = dict(self.fixed)
        for number, parameter in enumerate(self.free):
            column = theta[..., number, None]
            found[parameter.name] = np.exp(column) if parameter.log else column
        return found

    def _hyper(self, theta: Array, name: str) -> Any:
        """Hyperparameter (not its logarithm) at theta [..., k] as [..., 1, 1]."""
        return np.exp(theta[..., len(self.free) + self.hyper.index(name), None, None])

    def _coordinates(self, theta: Array, control: Array, size: Array) -> tuple[list[Array], Array]:
        return self.ansatz.coordinates(self.values(theta), control, size, self.largest)

    def _tilt(self, theta: Array, control: Array, other: Array) -> Array:
        """Covariance exp(r^2 t t') of a series in t, t in spans of the control; [..., N, M]."""
        centre = np.asarray(self.values(theta).get(self.centred, self.middle))
        t, u = (control - centre) / self.span, (other - centre) / self.span
        tilt: Array = np.exp(self._hyper(theta, "ln r") ** 2 * t[..., :, None] * u[..., None, :])
        return tilt

    def _signal(self, theta: Array) -> tuple[Array, ...]:
        """Covariance of the curves, and what its derivatives need; all [..., N, N]."""
        coordinates, log_d = self._coordinates(theta, self.control, self.size)
        lengths = [self._hyper(theta, name) for name in self.hyper if name.startswith("ln l")]
        gaps = [
            (x[..., :, None] - x[..., None, :]) / length
            for x, length in zip(coordinates, lengths, strict=True)
        ]
        r = ROOT5 * (np.abs(gaps[0]) if len(gaps) == 1 else np.sqrt(sum(g**2 for g in gaps)))
        decay = np.exp(-r)
        d = np.exp(log_d)
        prefactor = d[..., :, None] * d[..., None, :]
        amplitude = self._hyper(theta, "ln s") ** 2 * np.ones_like(prefactor)
        if self.corrections:
            e = np.exp(-self._hyper(theta, "ln omega")[..., 0] * self.relative)
            amplitude += self._hyper(theta, "ln s_1") ** 2 * e[..., :, None] * e[..., None, :]
        if self.drift is not None:
            grown = self.drift.growth(np.asarray(self.values(theta)["theta"]), self.size)[0]
            square = self._hyper(theta, "ln s_2") ** 2
            amplitude = amplitude + square * grown[..., :, None] * grown[..., None, :]
        if self.regular:
            amplitude = amplitude * self._tilt(theta, self.control, self.control)
        kernel = (1 + r + r**2 / 3) * decay
        signal = prefactor * (amplitude * kernel + self.constant)
        return signal, prefactor, amplitude, kernel, r, decay, *gaps

    def log_prior(self, theta: Array) -> Array:
        """Logarithm of the normalised prior at theta [..., k]; -inf outside the limits."""
        pull = (theta[..., len(self.free) :] - self.centre) / self.width
        inside = np.all((theta >= self.lower) & (theta <= self.upper), axis=-1)
        result: Array = np.where(inside, self.prior - 0.5 * np.sum(pull**2, axis=-1), -np.inf)
        return result

    def log_posterior(self, theta: Array, mean: Array | None = None) -> Array:
        """Logarithm of likelihood times prior, not normalised, at theta [B, k] -> [B]."""
        y = (self.mean if mean is None else mean) - self.shift
        result = self.log_prior(theta)
        allowed = np.flatnonzero(np.isfinite(result))
        for start in range(0, len(allowed), CHUNK):
            rows = allowed[start : start + CHUNK]
            covariance = self._signal(theta[rows])[0] + self.noise
            try:
                root = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                result[rows] = [self.gradient(row, mean)[0] for row in theta[rows]]
                continue
            white = np.linalg.solve(root, np.broadcast_to(y[:, None], (*root.shape[:2], 1)))
            diagonal = np.diagonal(root, axis1=1, axis2=2)
            result[rows] += -0.5 * np.sum(white[..., 0] ** 2, axis=1) - np.sum(
                np.log(diagonal), axis=1
            )
            result[rows] -= 0.5 * len(y) * math.log(2 * math.pi)
        return result

    def gradient(self, theta: Array, mean: Array | None = None) -> tuple[float, Array]:
        """`log_posterior` at theta [k] and its gradient [k]."""
        y = (self.mean if mean is None else mean) - self.shift
        signal, prefactor, amplitude, kernel, r, decay, *gaps = self._signal(theta)
        try:
            factor = linalg.cho_factor(signal + self.noise, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return -np.inf, np.zeros_like(theta)
        inverse, _ = linalg.lapack.dpotri(factor[0], lower=True)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        alpha = inverse @ y
        value = float(self.log_prior(theta)) - 0.5 * float(y @ alpha)
        value -= float(np.sum(np.log(np.diag(factor[0])))) + 0.5 * len(y) * math.log(2 * math.pi)
        g = np.outer(alpha, alpha) - inverse  # dlnP = tr(g dK) / 2
        count = len(self.free)
        slope = np.zeros_like(theta)
        # by r: dkernel/dr^2 = -(1 + r) decay / 6 in units where r holds sqrt(5)
        stiffness = g * prefactor * amplitude * (1 + r) * decay * (-5 / 3)
        values = {name: float(np.squeeze(v)) for name, v in self.values(theta).items()}
        if self.free:
            length = math.exp(theta[count + self.hyper.index("ln l")])
            by_x = np.sum(stiffness * gaps[0], axis=1) / length
            by_log_d = np.sum(g * signal, axis=1)
            slopes = self.ansatz.slopes(values, self.control, self.size, self.largest)
            for number, parameter in enumerate(self.free):
                dx, dlog_d = slopes[parameter.name]
                slope[number] = by_x @ dx + by_log_d @ dlog_d
        lengths = [name for name in self.hyper if name.startswith("ln l")]
        for name, gap in zip(lengths, gaps, strict=True):
            slope[count + self.hyper.index(name)] = -0.5 * np.sum(stiffness * gap**2)
        weighted = g * prefactor * kernel
        first = np.full_like(amplitude, math.exp(2 * theta[count + self.hyper.index("ln s")]))
        if self.regular:
            first *= self._tilt(theta, self.control, self.control)
            rate = math.exp(2 * theta[count + self.hyper.index("ln r")])
            t = (self.control - values.get(self.centred, self.middle)) / self.span
            tilted = weighted * amplitude * rate
            slope[count + self.hyper.index("ln r")] = t @ tilted @ t
            for number, parameter in enumerate(self.free):
                if parameter.name == self.centred:
                    slope[number] -= np.sum(tilted @ t) / self.span
        slope[count + self.hyper.index("ln s")] = np.sum(weighted * first)
        third = np.zeros_like(amplitude)
        if self.drift is not None:
            square = np.exp(2 * theta[count + self.hyper.index("ln s_2")])
            grown, by_theta = self.drift.growth(np.asarray(values["theta"]), self.size)
            if self.regular:
                square = square * self._tilt(theta, self.control, self.control)
            third = square * np.outer(grown, grown)
            slope[count + self.hyper.index("ln s_2")] = np.sum(weighted * third)
            for number, parameter in enumerate(self.free):
                if parameter.name == "theta":
                    slope[number] += by_theta @ (square * weighted) @ grown
        if self.corrections:
            second = weighted * (amplitude - first - third)
            log_e = -math.exp(theta[count + self.hyper.index("ln omega")]) * self.relative
            slope[count + self.hyper.index("ln s_1")] = np.sum(second)
            slope[count + self.hyper.index("ln omega")] = log_e @ np.sum(second, axis=1)
        slope[count:] -= (theta[count:] - self.centre) / self.width**2
        return value, slope

    def polish(
        self,
        theta: Array,
        mean: Array | None = None,
        evaluations: int = 300,
        exact: float = 1e-11,
        size: float = 1.0,
    ) -> tuple[Array, float]:
        """Local maximum of the posterior from theta [k], within the limits, and its logarithm.

        Within a box that moves along and shrinks where no step succeeds: far away, the prefactor
        D(L) can make the covariance singular, and a line search that lands there gives up.  `size`
        is that of the box at first, in `unit`; a step gains less than `exact` of the value at last.
        """
        theta = np.clip(theta, self.lower, self.upper)
        value = -math.inf

        def descent(z: Array) -> tuple[float, Array]:
            here, slope = self.gradient(np.clip(z * self.unit, self.lower, self.upper), mean)
            return (-here, -slope * self.unit) if np.isfinite(here) else (1e300, 0 * z)

        for _ in range(BOXES):
            low = np.maximum(self.lower, theta - size * self.unit) / self.unit
            high = np.minimum(self.upper, theta + size * self.unit) / self.unit
            found = optimize.minimize(
                descent,
                np.clip(theta / self.unit, low, high),
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(low, high, strict=True)),
                options={"maxfun": evaluations, "ftol": exact, "gtol": 1e-4},
            )
            new = np.clip(found.x * self.unit, self.lower, self.upper)
            moved = float(np.abs((new - theta) / self.unit).max())
            gained = -float(found.fun) - value
            theta, value = new, -float(found.fun)
            if moved < 1e-6 and size > 1e-3 and float(np.abs(found.jac).max()) > 1e-2:
                size /= 10
            elif moved < 0.99 * size or gained < 1e-3:
                break
        return theta, value

    def start(self, values: dict[str, float]) -> Array:
        """Point [k] with these parameters of the form, and hyperparameters at their prior."""
        chosen = [math.log(values[p.name]) if p.log else values[p.name] for p in self.free]
        theta: Array = np.clip(np.array([*chosen, *self.centre]), self.lower, self.upper)
        return theta

    def adopted(self, other: Model, theta: Array) -> Array:
        """Point [k] that has of another model's point what both have; the rest is usual."""
        names = [*(parameter.name for parameter in self.free), *self.hyper]
        theirs = [*(parameter.name for parameter in other.free), *other.hyper]
        known = dict(zip(theirs, theta, strict=True))
        usual = np.concatenate([(self.lower + self.upper)[: len(self.free)] / 2, self.centre])
        chosen = [known.get(name, value) for name, value in zip(names, usual, strict=True)]
        point: Array = np.clip(np.array(chosen), self.lower, self.upper)
        return point

    def curvature(self, theta: Array) -> Array:
        """Inverse of the Hessian of -log_posterior at a maximum: a covariance [k, k]."""
        k = len(theta)
        hessian = np.empty((k, k))
        for i in range(k):
            step = 1e-4 * max(1e-2, self.width.max() if i >= len(self.free) else 1.0)
            if i < len(self.free) and not self.free[i].log:
                step = 1e-5 * (self.upper[i] - self.lower[i])
            shift = np.zeros(k)
            shift[i] = step
            hessian[i] = (self.gradient(theta - shift)[1] - self.gradient(theta + shift)[1]) / (
                2 * step
            )
        # no direction may be wider than its limits, nor have the wrong sign (at a limit it may)
        scale = (self.upper - self.lower) / 2
        scaled = (hessian + hessian.T) / 2 * np.outer(scale, scale)
        eigen, vectors = np.linalg.eigh(scaled)
        inverse = vectors / np.maximum(eigen, 3.0) @ vectors.T
        covariance: Array = inverse * np.outer(scale, scale)
        return covariance

    def posterior(
        self, theta: Array, covariance: Array, draws: int, seed: int
    ) -> tuple[Array, Array, float, float]:
        """Sample the posterior by importance, from a Student proposal around its maximum.

        Where the proposal is poor it is fitted to the weighted sample, and that is repeated.

        Parameters
        ----------
        theta, covariance
            The maximum [k] and its `curvature` [k, k].
        draws
            A power of two.
        seed
            Of the scrambled Sobol points.

        Returns
        -------
        points, weights
            [draws, k] and [draws], the weights summing to 1.
        log_evidence, error
            Logarithm of the integral of likelihood times prior, and its standard error.
        """
        best = self._sample(theta, covariance, draws, seed)
        for _ in range(ADAPTATIONS):
            points, weights, *_ = best
            effective = 1 / np.sum(weights**2)
            if effective > POOR_SAMPLE * draws:
                break
            centre = weights @ points
            away = points - centre
            # few effective points give too small a covariance: mix in the one that found them
            share = effective / (effective + len(theta) + 1)
            covariance = share * 1.5 * (weights[:, None] * away).T @ away + (1 - share) * covariance
            again = self._sample(centre, covariance, draws, seed)
            if np.sum(again[1] ** 2) < np.sum(weights**2):
                best = again
        return best

    def _sample(
        self, theta: Array, covariance: Array, draws: int, seed: int
    ) -> tuple[Array, Array, float, float]:
        """Sample from one proposal; see `posterior`."""
        k = len(theta)
        uniform = qmc.Sobol(k + 1, scramble=True, rng=np.random.default_rng(seed)).random(draws)
        uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
        normal = norm.ppf(uniform[:, :k])
        stretch = np.sqrt(STUDENT / chi2.ppf(uniform[:, k], STUDENT))
        root = np.linalg.cholesky(covariance)
        points = theta + stretch[:, None] * (normal @ root.T)
        square = np.sum((normal * stretch[:, None]) ** 2, axis=1)
        log_q = (
            math.lgamma((STUDENT + k) / 2)
            - math.lgamma(STUDENT / 2)
            - 0.5 * k * math.log(STUDENT * math.pi)
            - float(np.sum(np.log(np.diag(root))))
            - 0.5 * (STUDENT + k) * np.log1p(square / STUDENT)
        )
        log_w = self.log_posterior(points) - log_q
        top = float(np.max(log_w))
        if not np.isfinite(top):  # nothing of the proposal is allowed
            return points, np.full(draws, 1 / draws), -math.inf, math.inf
        w = np.exp(log_w - top)
        mean = float(w.mean())
        error = float(w.std(ddof=1)) / mean / math.sqrt(draws)
        return points, w / w.sum(), top + math.log(mean), error

    def curve(self, theta: Array, mean: Array | None = None) -> Array:
        """Fitted means [N]: the posterior mean of the curves at the measured points."""
        y = (self.mean if mean is None else mean) - self.shift
        signal = self._signal(theta)[0]
        fitted: Array = signal @ linalg.solve(signal + self.noise, y, assume_a="pos")
        return self.shift + fitted

    def expected(self, theta: Array, control: Array, size: Array) -> Array:
        """Fitted means [M] at points that were not measured, of sizes that may be new."""
        both = copy.copy(self)
        both.control = np.concatenate([control, self.control])
        both.size = np.concatenate([size, self.size])
        both.relative = np.log(both.size / self.size.min()) * float(self.corrections)
        signal, new = both._signal(theta)[0], len(control)
        weights = linalg.solve(
            signal[new:, new:] + self.noise, self.mean - self.shift, assume_a="pos"
        )
        mean: Array = self.shift + signal[:new, new:] @ weights
        return mean

    def master(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Master curve f(x) and its standard deviation at x [M], in units of the largest size.

        Without corrections to scaling, and where the dependence on the control is regular beside
        that on x, as at the largest size; for forms with one coordinate.
        """
        (here,), log_d = self._coordinates(theta, self.control, self.size)
        square, length = (math.exp(2 * theta[len(self.free)]), math.exp(theta[len(self.free) + 1]))

        def kernel(a: Array, b: Array) -> Array:
            r = ROOT5 * np.abs(a[:, None] - b) / length
            value: Array = square * (1 + r + r**2 / 3) * np.exp(-r) + self.constant
            return value

        cross, own = kernel(x, here), np.full(len(x), square + self.constant)
        if self.regular:
            p = x + np.squeeze(self.values(theta).get(self.centred, 0.0))
            cross = self.constant + (cross - self.constant) * self._tilt(theta, p, self.control)
            own = self.constant + square * np.diagonal(self._tilt(theta, p, p))
        cross = cross * np.exp(log_d)
        factor = linalg.cho_factor(self._signal(theta)[0] + self.noise, lower=True)
        mean: Array = self.shift + cross @ linalg.cho_solve(factor, self.mean - self.shift)
        gain = np.sum(cross * linalg.cho_solve(factor, cross.T).T, axis=1)
        return mean, np.sqrt(np.maximum(own - gain, 0))

    def goodness(self, theta: Array) -> tuple[float, float]:
        """chi2 of the data about the fitted curves, and its degrees of freedom.

        chi2 = r^T N^-1 r with the noise covariance N and residuals r = N K^-1 y; its expectation
        under the model, tr(N K^-1), less the fitted parameters, is the degrees of freedom.
        """
        inverse = np.linalg.inv(self._signal(theta)[0] + self.noise)
        alpha = inverse @ (self.mean - self.shift)
        distance = float(alpha @ self.noise @ alpha)
        return distance, float(np.trace(self.noise @ inverse)) - len(self.free)
