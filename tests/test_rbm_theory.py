"""Replica-symmetric retrieval: known values, limits, and integrals done another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, optimize, special

from criticality import phases
from criticality.base import InputError, canonical, inner
from criticality.systems.rbm import PRIORS, equations, theory
from criticality.systems.rbm.replica import ReplicaSymmetric
from criticality.systems.rbm.theory import Model, glass_line, global_line, solve, spinodal

HOPFIELD, RELU = Model(), Model(prior="relu")
SEVERAL = [
    Model(prior=prior, threshold=threshold, bias=bias)
    for prior, threshold, bias in itertools.product(PRIORS, (0.0, 0.4), (0.0, -0.6))
]
EACH = pytest.mark.parametrize("model", SEVERAL, ids=lambda m: f"{m.prior}-{m.threshold}-{m.bias}")
UNBOUNDED = ("gaussian", "relu")


def loads(model, temperature):
    """Starts that lead somewhere, and a load for each."""
    most = spinodal(model, temperature)
    return {"random": 0.3} if math.isnan(most) else {"random": 0.3, "pattern": 0.6 * most}


# --- what is known ---


def test_capacity_of_the_hopfield_model_at_zero_temperature():
    # y = m / sqrt(2 alpha r): sqrt(2 alpha) = erf(y)/y - 2/sqrt(pi) exp(-y^2), the largest
    def root(y):
        return special.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-(y**2))

    best = optimize.minimize_scalar(lambda y: -root(y), bounds=(0.5, 3), method="bounded")
    critical = root(best.x) ** 2 / 2
    assert spinodal(HOPFIELD, 0.0) == pytest.approx(critical, abs=1e-12)
    assert critical == pytest.approx(0.137905566, abs=1e-9)
    assert solve(HOPFIELD, 0.0, critical - 1e-13).m == pytest.approx(0.967, abs=5e-4)
    assert math.isnan(solve(HOPFIELD, 0.0, critical + 1e-10).m)


def test_the_fold_is_where_solutions_of_the_plain_equations_end():
    temperature = 0.5
    end = spinodal(HOPFIELD, temperature)
    for load, there in ((end - 1e-6, True), (end + 1e-6, False)):
        m, q, r, steps = 1.0, 1.0, 1.0, 0
        while m > 0.5 and steps < 20000:  # beyond it the iteration has no end, and wanders
            m, q, r = plain(temperature, load, m, q, r)
            steps += 1
        assert (m > 0.5) == there
    last = solve(HOPFIELD, temperature, end)
    below = solve(HOPFIELD, temperature, end - 1e-8)
    # a square root, of which the slope is 1e4 times that of a line
    assert 1e-5 < below.m - last.m < 1e-3


def test_spin_glass_lines_of_symmetric_priors():
    for load in (0.003, 0.05, 0.5, 4.0):
        assert glass_line(HOPFIELD, load) == pytest.approx(1 + math.sqrt(load), abs=1e-12)
        assert glass_line(Model(prior="binary"), load) == pytest.approx(load**0.25, abs=1e-12)


@pytest.mark.parametrize("prior", ["gaussian", "binary", "ternary"])
def test_replicas_overlap_from_the_glass_line_on(prior):
    # of a symmetric prior the instability of q = 0 is that of de Almeida and Thouless
    model = Model(prior=prior, threshold=0.3 if prior == "ternary" else 0.0)
    line = glass_line(model, 0.2)
    near = solve(model, line - 1e-3, 0.2, "random").q
    nearer = solve(model, line - 5e-4, 0.2, "random").q
    assert near / nearer == pytest.approx(2, rel=0.01)
    assert near > 1e-4
    assert solve(model, line + 1e-6, 0.2, "random").q < 1e-12


def test_retrieval_is_global_below_0_051_at_zero_temperature():
    line = global_line(HOPFIELD, 0.0)
    assert line == pytest.approx(0.051, abs=1e-3)
    for load, sign in ((line - 1e-4, -1), (line, 0), (line + 1e-4, 1)):
        gap = solve(HOPFIELD, 0.0, load).f - solve(HOPFIELD, 0.0, load, "random").f
        assert np.sign(round(gap, 12)) == sign


def test_half_of_the_relus_are_silent_at_zero_temperature():
    assert spinodal(RELU, 0.0) == pytest.approx(2 * spinodal(HOPFIELD, 0.0), abs=1e-11)
    assert solve(RELU, 0.0, 0.2).m == pytest.approx(solve(HOPFIELD, 0.0, 0.1).m, abs=1e-12)


@pytest.mark.parametrize("prior", UNBOUNDED)
@pytest.mark.parametrize("temperature", [0.2, 0.7, 0.95])
def test_low_load_is_a_curie_weiss_magnet(prior, temperature):
    m = optimize.brentq(lambda m: math.tanh(m / temperature) - m, 0.1, 1, xtol=1e-14)
    assert solve(Model(prior=prior), temperature, 1e-11).m == pytest.approx(m, abs=1e-8)


def test_metastable_and_global_lines_leave_the_critical_point_as_known():
    # Amit, Gutfreund and Sompolinsky: T_M = 1 - 1.95 sqrt(alpha), T_c = 1 - 2.6 sqrt(alpha)
    temperature = 0.999
    for line, known in ((spinodal, 1.95), (global_line, 2.6)):
        slope = (1 - temperature) / math.sqrt(line(HOPFIELD, temperature))
        assert slope == pytest.approx(known, rel=0.01)


def test_a_magnet_above_its_critical_temperature_retrieves_nothing():
    for model in (HOPFIELD, RELU):
        assert math.isnan(spinodal(model, 1.0))
        assert math.isnan(global_line(model, 1.3))
        assert math.isnan(solve(model, 1.0, 1e-4).m)


def test_bounded_units_do_not_retrieve_extensively_many_patterns():
    for prior in ("binary", "zero_one", "ternary"):
        assert math.isnan(spinodal(Model(prior=prior), 0.0))
        assert math.isnan(solve(Model(prior=prior), 0.1, 0.01).m)


def test_paramagnetic_free_energies():
    # q = r = 0: the average over patterns of Z itself
    load, temperature = 0.3, 2.5
    free = -temperature * math.log(2)
    units = {
        "gaussian": -0.5 * math.log(1 - 1 / temperature),
        "binary": math.log(2) + 0.5 / temperature**2,
        "ternary": math.log(1 + 2 * math.exp(0.5 / temperature**2 - 0.4 / temperature)),
    }
    for prior, unit in units.items():
        model = Model(prior=prior, threshold=0.4 if prior == "ternary" else 0.0)
        found = solve(model, temperature, load, "random")
        assert found.q < 1e-12
        assert found.f == pytest.approx(free - load * temperature * unit, abs=1e-12)


def test_the_replicon_of_the_hopfield_model():
    # (1 - C)^2 > alpha beta^2 E sech^4, Amit, Gutfreund and Sompolinsky
    temperature, load = 0.3, 0.05
    for start in ("pattern", "random"):
        s = solve(HOPFIELD, temperature, load, start)
        fourth = brute(
            lambda z, s=s: np.cosh((s.m + math.sqrt(load * s.r) * z) / temperature) ** -4.0
        )
        known = 1 - load * fourth / temperature**2 / (1 - s.C) ** 2
        assert s.replicon == pytest.approx(known, rel=1e-9)
        assert (s.replicon > 0) == (start == "pattern")


def test_binary_units_with_bias_are_zero_one_units_at_half_the_temperature():
    for threshold, temperature, load in itertools.product((0.0, 0.3), (0.0, 0.2, 1.1), (0.05, 0.6)):
        one = solve(
            Model(prior="binary", threshold=threshold, bias=-1.0), temperature, load, "random"
        )
        other = solve(Model(prior="zero_one", threshold=threshold), temperature / 2, load, "random")
        assert one.q == pytest.approx(other.q, abs=1e-10)
        assert one.r == pytest.approx(4 * other.r, abs=1e-10)
        assert one.f == pytest.approx(2 * other.f - load * threshold, abs=1e-10)
        assert one.replicon == pytest.approx(other.replicon, abs=1e-9)


# --- the equations ---


def brute(function, kink=None):
    """E_z by adaptive quadrature."""
    return integrate.quad(
        lambda z: function(z) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi),
        -12,
        12,
        points=kink,
        epsabs=1e-13,
        epsrel=1e-12,
        limit=2000,
    )[0]


@pytest.mark.parametrize("temperature", [1e-4, 0.02, 0.5, 3.0])
@pytest.mark.parametrize(("m", "sigma"), [(0.0, 0.7), (0.9, 0.4), (0.95, 0.02)])
def test_averages_over_a_field_with_a_kink(temperature, m, sigma):
    near = [-m / sigma + k * temperature / sigma for k in (-20, -3, 0, 3, 20)]
    near = [z for z in near if abs(z) < 12]
    found = equations.visible(temperature, m, sigma)

    def u(z):
        return abs(m + sigma * z) / temperature

    def square(z):
        return (2 * math.exp(-u(z)) / (1 + math.exp(-2 * u(z)))) ** 2

    for name, function in {
        "m": lambda z: math.tanh((m + sigma * z) / temperature),
        "q": lambda z: math.tanh(u(z)) ** 2,
        "C": lambda z: square(z) / temperature,
        "entropy": lambda z: temperature * (u(z) + math.log1p(math.exp(-2 * u(z)))),
        "sech4": lambda z: square(z) ** 2 / temperature**2,
    }.items():
        assert found[name] == pytest.approx(brute(function, near), rel=1e-10, abs=1e-11), name


@EACH
@pytest.mark.parametrize(("temperature", "q", "C"), [(0.05, 0.95, 0.4), (0.8, 0.3, 0.7)])
def test_averages_over_hidden_units_by_summing_over_their_states(model, temperature, q, C):
    h, weight = {
        "binary": ([-1, 1], [1, 1]),
        "zero_one": ([0, 1], [1, 1]),
        "ternary": ([-1, 0, 1], [1, 1, 1]),
        "gaussian": between(-40, 40),
        "relu": between(0, 40),
    }[model.prior]
    h, weight = np.asarray(h, float), np.asarray(weight, float)
    energy = h**2 / 2 if model.prior in UNBOUNDED else 0 * h
    if model.prior == "ternary":
        energy = energy + model.threshold * abs(h)
    elif model.prior != "gaussian":
        energy = energy + model.threshold * h
    if model.prior in UNBOUNDED:
        weight = weight / math.sqrt(2 * math.pi * temperature)
    eta = np.linspace(-9, 9, 2401)  # rough, and the same for jumps of a width of 0.05
    normal = np.exp(-(eta**2) / 2) / math.sqrt(2 * math.pi) * (eta[1] - eta[0])
    g = h - model.bias
    gain = (C * g**2 / 2 - energy + math.sqrt(q) * eta[:, None] * g) / temperature
    best = gain.max(axis=1, keepdims=True)
    p = weight * np.exp(gain - best)
    total = p.sum(axis=1)
    mean = (p * g).sum(axis=1) / total
    variance = (p * g**2).sum(axis=1) / total - mean**2
    found = equations.hidden(model, temperature, q, C)
    log_z = best[:, 0] + np.log(total)
    for name, known in {
        "r": mean**2,
        "entropy": temperature * log_z,
        "variance": (variance / temperature) ** 2,
    }.items():
        assert found[name] == pytest.approx((normal * known).sum(), rel=2e-7, abs=1e-8), name


LEGENDRE = special.roots_legendre(600)


def between(low, high):
    """Nodes and weights of an integral."""
    x, weight = LEGENDRE
    return low + (high - low) * (1 + x) / 2, (high - low) * weight / 2


@EACH
@pytest.mark.parametrize("temperature", [0.0, 0.3, 0.8, 1.4])
def test_the_free_energy_is_stationary(model, temperature):
    for start, load in loads(model, temperature).items():
        s = solve(model, temperature, load, start)
        # q and C are one, q = 1 at T = 0; bounded units do not feel m
        names = ["m", "r", "q" if temperature else "C"]
        at = {name: getattr(s, name) for name in names}

        def f(name, value, at=at, load=load):
            now = {"q": 1.0} | at | {name: value}
            C = now.pop("C", (1 - now["q"]) / (temperature or 1))
            return equations.free_energy(model, temperature, load, **now, C=C)

        assert f("m", s.m) == pytest.approx(s.f, abs=1e-12)
        for name in names[model.prior not in UNBOUNDED :]:
            step = 1e-3 * min(at[name], 1 - s.C if s.C < 1 else 1.0)
            if step < 1e-9:  # a paramagnet is at the edge of what is allowed
                continue

            def slope(x, name=name, step=step):
                near, far = (f(name, x + k * step) - f(name, x - k * step) for k in (1, 2))
                return (8 * near - far) / (12 * step)

            there, beside = slope(at[name]), slope(at[name] - 10 * step)
            assert abs(there) < 1e-3 * abs(beside) + 1e-9, (start, name)


@EACH
def test_every_equation_holds_to_1e_8(model):
    for temperature, load in itertools.product((0.0, 1e-4, 0.1, 0.5, 0.97, 1.0, 1.6), (0.003, 0.4)):
        for start in ("pattern", "random"):
            s = solve(model, temperature, load, start)
            if start == "random" or load < spinodal(model, temperature):
                assert s.residual < 1e-8
                # r once more, from alpha r = sigma^2 and the plain equations
                spin = equations.visible(temperature, s.m, math.sqrt(load * s.r))
                assert spin["q"] == pytest.approx(s.q, abs=1e-8)
            else:
                assert math.isnan(s.m)


def test_hidden_units_do_not_run_away_near_the_critical_temperature():
    for model in (HOPFIELD, RELU, Model(prior="relu", bias=0.3)):
        s = solve(model, 0.99, 1e-4, "random")
        assert s.residual < 1e-8
        assert 0 < 1 - s.C < 0.01


@pytest.mark.parametrize("model", [HOPFIELD, RELU, Model(prior="ternary", threshold=0.4)])
def test_low_temperatures_lead_to_zero(model):
    for start, load in loads(model, 0.0).items():
        zero, one, two = (solve(model, t, load, start) for t in (0.0, 1e-6, 2e-6))
        for name in ("m", "q", "r", "C", "f"):
            limit = 2 * getattr(one, name) - getattr(two, name)
            assert limit == pytest.approx(getattr(zero, name), abs=2e-6), name


def plain(temperature, load, m, q, r):
    """One iteration of the equations of the Hopfield model, by another quadrature."""
    mean = np.tanh((m + math.sqrt(load * r) * Z) / temperature)
    return (
        (DENSITY * mean).sum(),
        (DENSITY * mean**2).sum(),
        q / (1 - (1 - q) / temperature) ** 2,
    )


Z = np.linspace(-9, 9, 361)  # trapezoidal, exact to rounding while T / sigma is above 0.1
DENSITY = np.exp(-(Z**2) / 2) / np.exp(-(Z**2) / 2).sum()


def followed(points, state):
    """Solutions of the plain equations along (T, alpha), each found from the one before."""
    for temperature, load in points:

        def off(x, temperature=temperature, load=load):
            return np.array(plain(temperature, load, *x)) - x

        state = optimize.root(off, state, tol=1e-13).x
        yield state


def test_a_continuation_comes_to_the_same():
    fuller = [(0.4, load) for load in np.linspace(0.002, 0.08, 40)]
    heats = [(temperature, 0.02) for temperature in np.linspace(0.4, 0.68, 29)]
    for path, start in ((fuller, "pattern"), (heats, "pattern"), (fuller[:8:-1], "random")):
        first = solve(HOPFIELD, *path[0], start)
        for point, state in zip(
            path, followed(path, np.array([first.m, first.q, first.r])), strict=True
        ):
            s = solve(HOPFIELD, *point, start)
            assert [s.m, s.q, s.r] == pytest.approx(state, rel=1e-8, abs=1e-8), point


# --- weights of order one ---


@pytest.mark.parametrize(
    ("prior", "bias", "jump"), [("zero_one", 0.0, 1), ("ternary", 0.0, 1), ("binary", -1.0, 2)]
)
def test_silent_units_retrieve_at_any_load(prior, bias, jump):
    model = Model(prior=prior, threshold=0.6, bias=bias, scaling=0.0)
    lost = jump / math.atanh(0.6)
    assert solve(model, 0.9, 50.0).m == pytest.approx(math.tanh(jump / 0.9))
    assert spinodal(model, lost - 1e-9) == math.inf
    assert math.isnan(spinodal(model, lost + 1e-9))
    even = optimize.brentq(
        lambda t: t * math.log(math.cosh(jump / t)) - 0.6 * jump, 0.1, lost, xtol=1e-13
    )
    assert global_line(model, even - 1e-9) == math.inf
    assert math.isnan(global_line(model, even + 1e-9))
    assert math.isnan(glass_line(model, 0.3))
    rest = solve(model, 0.9, 50.0, "random")
    assert (rest.q, rest.f) == (0.0, pytest.approx(-0.9 * math.log(2)))
    # what is not compensated, or not silent, is noise of order sqrt(N)
    for other in (
        Model(prior=prior, threshold=0.6, bias=bias + 0.1, scaling=0.0),
        Model(prior=prior, bias=bias, scaling=0.0),
    ):
        assert math.isnan(spinodal(other, 0.0))
        assert solve(other, 0.9, 0.1, "random").q == 1.0


def test_unbounded_units_with_weights_of_order_one_are_cold():
    for temperature in (0.0, 5.0):
        assert spinodal(Model(scaling=0.0), temperature) == spinodal(HOPFIELD, 0.0)
        assert spinodal(Model(prior="relu", scaling=0.0), temperature) == spinodal(RELU, 0.0)
    silent = Model(prior="relu", threshold=0.99, scaling=0.0)
    assert (spinodal(silent, 3.0), solve(silent, 3.0, 10.0).m) == (math.inf, 1.0)
    assert math.isnan(spinodal(Model(prior="relu", threshold=1.0, scaling=0.0), 0.0))


def test_between_both_scalings_only_the_ground_state_of_bounded_units_retrieves():
    model = Model(prior="ternary", threshold=3.0, scaling=0.2)
    assert (spinodal(model, 0.0), global_line(model, 0.0)) == (math.inf, math.inf)
    assert math.isnan(spinodal(model, 0.01))
    relu = Model(prior="relu", threshold=3.0, scaling=0.2)
    assert spinodal(relu, 7.0) == math.inf
    assert spinodal(Model(scaling=0.2), 7.0) == spinodal(HOPFIELD, 0.0)


# --- bad input, and the system ---


def test_what_cannot_be_solved_is_said():
    with pytest.raises(InputError, match="unknown prior 'hopfield'"):
        Model(prior="hopfield")
    with pytest.raises(InputError, match="threshold"):
        Model(threshold=-1.0)
    with pytest.raises(InputError, match=r"scaling = 0\.6"):
        Model(scaling=0.6)
    with pytest.raises(InputError, match="load"):
        solve(HOPFIELD, 0.1, 0.0)
    for line, wrong in ((spinodal, -0.1), (global_line, math.nan), (glass_line, 0.0)):
        with pytest.raises(InputError, match="expected a temperature of 0 or more"):
            line(HOPFIELD, wrong)
    for changes in ({"temperature": [-0.1]}, {"load": [0.0]}, {"threshold": -0.5}):
        with pytest.raises(InputError, match="expected a number in"):
            canonical(ReplicaSymmetric(), **changes)


def dataset(system):
    observed = system.compute(None, None)
    told = {o.name: o.dims for o in system.card.observables}
    return xr.Dataset(
        {name: (told[name], np.asarray(values)) for name, values in observed.items()},
        coords={name: [*values] for name, values in inner(system).items()},
    )


@pytest.mark.parametrize("prior", ["gaussian", "relu"])
def test_phases_lie_between_the_lines(prior):
    system = canonical(
        ReplicaSymmetric(prior=prior),
        temperature=[0.0, 0.2, 0.5, 0.9, 1.25],
        load=[0.01, 0.06, 0.3],
    )
    ds = dataset(system)
    diagram = phases.phase_diagram(ds, ReplicaSymmetric)
    names = xr.apply_ufunc(
        lambda code: diagram.phase(code).name, diagram.cells["phase"], vectorize=True
    )
    for load, temperature in itertools.product(system.load, system.temperature):
        one = ds.sel(load=load, temperature=temperature)
        for name, start in (("stability", "pattern"), ("rest_stability", "random")):
            stable = solve(system.model(), temperature, load, start).replicon > 0
            assert stable == (one[name] > 0.5)
        if load < one["global_load"]:
            known = "retrieval"
        elif load < one["spinodal"]:
            known = "metastable retrieval"
        elif temperature < one["glass_temperature"]:
            known = "spin glass"
        else:
            known = "paramagnet"
        assert names.sel(load=load, temperature=temperature) == known
    assert len(set(names.values.ravel())) == 4


def test_no_result_depends_on_the_grid_around_it():
    few = ReplicaSymmetric(prior="relu", temperature=(0.3, 0.9), load=(0.1,)).compute(None, None)
    many = ReplicaSymmetric(
        prior="relu", temperature=(0.1, 0.3, 0.31, 0.9), load=(0.05, 0.1)
    ).compute(None, None)
    for o in ReplicaSymmetric.card.observables:
        array = np.asarray(many[o.name])
        for dim, keep in (("load", [1]), ("temperature", [1, 3])):
            if dim in o.dims:
                array = array.take(keep, axis=o.dims.index(dim))
        np.testing.assert_array_equal(array, few[o.name])


@pytest.mark.parametrize("threshold", [0.99, 1.0, 10.0])
@pytest.mark.parametrize("bias", [0.3, 20.0])
def test_relu_units_that_no_field_activates_leave_the_curie_weiss_model(threshold, bias):
    model = Model(prior="relu", threshold=threshold, bias=bias)
    T = 0.999
    most = spinodal(model, T)
    assert 0.9 * most < global_line(model, T) <= most
    # as of few patterns: m = 0 has C = 1, and the wells lie below it by (1 - T)^2 / 2
    pattern, other = (solve(model, T, 1e-4 * most, start) for start in ("pattern", "random"))
    assert (other.f - pattern.f) / (1 - T) ** 2 == pytest.approx(0.5, abs=0.01)


def test_lines_are_those_of_every_point():
    drawn = theory.lines(RELU, [0.0, 0.5, 1.2], [0.1, 0.2])
    assert list(drawn.spinodal[:2]) == [spinodal(RELU, 0.0), spinodal(RELU, 0.5)]
    assert list(drawn.globally[:2]) == [global_line(RELU, 0.0), global_line(RELU, 0.5)]
    assert np.isnan([drawn.spinodal[2], drawn.globally[2]]).all()
    for load, temperature in zip(drawn.loads, drawn.glass, strict=True):
        assert solve(RELU, temperature, load, "random").replicon == pytest.approx(0, abs=1e-10)
