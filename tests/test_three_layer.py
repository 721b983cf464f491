"""Three-layer networks: the flow against other integrators and closed forms, regimes, failures."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp
from scipy.special import ive

from criticality import Study, phase_diagram, run
from criticality.base import Task, canonical, controls
from criticality.data import synthetic
from criticality.engine import ensemble
from criticality.engine.realization import begin
from criticality.engine.templates import split
from criticality.systems.three_layer import ThreeLayer, theory
from criticality.systems.three_layer.figures import draw_theory
from criticality.systems.three_layer.model import flow, realization
from criticality.systems.three_layer.model.chebyshev import tableau
from criticality.systems.three_layer.model.directions import SHARPNESS, effective_directions

LAYERS = ("change_1", "change_2", "change_3")
WORDS = np.array([7, 11], np.uint32)


@pytest.fixture(autouse=True)
def _wide():
    with jax.enable_x64(True):
        yield


def measured(realizations=1, **changes):
    """Observables of some realizations, [realizations] each."""
    system = canonical(ThreeLayer(), **changes)
    source = system.requires()
    arrays = synthetic.load(source, None).arrays() if source else {}
    tasks = [
        Task(system=system, seed=0, realization=r, checksum=source) for r in range(realizations)
    ]
    found = ensemble.realize(tasks, arrays)
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def begun(**changes):
    """Flow at its start, and what is flowed down."""
    system = canonical(ThreeLayer(), **changes)
    form, traced = split(system)
    state = _begin(form)(traced)
    return state.flow, realization._task(system, state.x, state.target)


@functools.cache
def _begin(form):
    return jax.jit(lambda traced: begin(form, traced, WORDS, {}))


@functools.cache
def _attempt():
    return jax.jit(flow.attempt)


def trajectory(now, task, most=20_000):
    """All accepted states, the first and the one that reached the goal included."""
    states = [now]
    for _ in range(most):
        now = _attempt()(now, task)
        if int(now.steps) == len(states):
            states.append(now)
        if now.slope.loss <= task.goal:
            return states
    raise AssertionError("the goal was not reached")


# --- the method -------------------------------------------------------------------------------


def last_error(s, steps):
    """Error at t = 1 of y' = -y^2 + cos t, and its estimate of the local one in the first step."""
    method = tableau(s)
    nodes = method.stages.sum(axis=1)
    y, h = 1.0, 1 / steps
    estimates = []
    for n in range(steps):
        f = np.zeros(s + 1)
        for j in range(s + 1):
            stage = y + h * method.stages[j] @ f
            f[j] = -(stage**2) + np.cos((n + nodes[j]) * h)
        y += h * method.stages[-1] @ f
        estimates.append(h * method.error @ f)
    exact = solve_ivp(
        lambda t, y: -(y**2) + np.cos(t), (0, 1), [1.0], method="DOP853", rtol=1e-13, atol=1e-13
    )
    return abs(y - exact.y[0, -1]), abs(estimates[0])


@pytest.mark.parametrize("s", [3, 5, 8])
def test_the_method_is_of_second_order_and_its_local_error_of_third(s):
    (coarse, first), (fine, second) = last_error(s, 200), last_error(s, 400)
    assert np.log2(coarse / fine) == pytest.approx(2, abs=0.1)
    assert np.log2(first / second) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("s", [3, 5, 8])
def test_the_method_is_stable_to_two_thirds_of_the_square_of_its_stages(s):
    method = tableau(s)
    a, b = method.stages[:s, :s], method.stages[s, :s]

    def growth(z):
        return abs(1 + z * b @ np.linalg.solve(np.eye(s) - z * a, np.ones(s)))

    limit = 2 / 3 * (s**2 - 1)
    assert max(growth(-z) for z in np.linspace(0.01, 0.97 * limit, 500)) < 1
    assert growth(-1.4 * limit) > 1


# --- the flow ---------------------------------------------------------------------------------


def reference(now, task):
    """Weights where the loss has fallen to the goal, by a dense gradient and another integrator."""
    x, target, kappa, rates = (
        np.asarray(part) for part in (task.x, task.target, task.scale, task.rates)
    )
    shapes = [np.shape(layer) for layer in now.layers]
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]

    def parts(flat):
        return [part.reshape(s) for part, s in zip(np.split(flat, cuts), shapes, strict=True)]

    def slope(_, flat):
        first, second, third = parts(flat)
        z1 = x @ first.T
        z2 = np.maximum(z1, 0) @ second.T
        pull = kappa * (kappa * np.maximum(z2, 0) @ third - target) / len(x)
        back_2 = pull[:, None] * third * (z2 > 0)
        back_1 = (back_2 @ second) * (z1 > 0)
        gradients = back_1.T @ x, back_2.T @ np.maximum(z1, 0), pull @ np.maximum(z2, 0)
        return -np.concatenate([r * g.ravel() for r, g in zip(rates, gradients, strict=True)])

    def loss(_, flat):
        first, second, third = parts(flat)
        out = kappa * np.maximum(np.maximum(x @ first.T, 0) @ second.T, 0) @ third
        return np.mean((out - target) ** 2) / 2 - float(task.goal)

    loss.terminal = True
    start = np.concatenate([np.ravel(layer) for layer in now.layers])
    solved = solve_ivp(slope, (0, 1e9), start, method="DOP853", rtol=1e-6, atol=1e-8, events=loss)
    return parts(solved.y_events[0][0]), float(solved.t_events[0][0])


@pytest.mark.parametrize(
    "point",
    [
        {"gamma_3": 0.5, "target": 0.2},
        {"gamma_3": 1.5, "gamma_2": 0.25, "target": 0.4},
        {"gamma_3": 2.0, "gamma_2": -0.25, "target": 0.6},  # later, the other takes minutes
    ],
)
def test_the_flow_is_that_of_a_dense_gradient_in_another_integrator(point):
    now, task = begun(width=8, tolerance=1e-3, **point)
    end = trajectory(now, task)[-1]
    expected, time = reference(now, task)
    assert float(end.time) == pytest.approx(time, rel=1e-3)
    for start, mine, other in zip(now.layers, end.layers, expected, strict=True):
        assert np.linalg.norm(mine - other) < 1e-3 * np.linalg.norm(other - start)


def test_a_layer_on_fixed_features_relaxes_as_the_closed_form_says():
    now, task = begun(width=20, gamma_3=1.0, tolerance=1e-4, target=0.05)
    task = task._replace(rates=jnp.array([1e-30, 1e-30, 1.0]))
    now = jax.jit(flow.begin)(now.layers, task)
    end = trajectory(now, task)[-1]
    features = np.maximum(np.asarray(now.slope.hidden) @ np.asarray(now.layers.second).T, 0)
    values, vectors = np.linalg.eigh(float(task.scale) ** 2 * features @ features.T)
    start = vectors.T @ (float(task.scale) * features @ np.asarray(now.layers.third) - task.target)
    start = np.asarray(start)
    left = np.exp(-values * float(end.time) / len(start)) * start
    assert float(end.slope.loss) == pytest.approx(np.mean(left**2) / 2, rel=1e-3)
    moved = -float(task.scale) * features.T @ vectors @ ((start - left) / values)
    np.testing.assert_allclose(end.layers.third - now.layers.third, moved, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize(("gamma_2", "gamma_3"), [(-0.5, 0.75), (0.0, 2.5), (0.3, 1.5)])
def test_the_loss_falls_and_what_is_conserved_stays(gamma_2, gamma_3):
    """|w|^2 / rate over all weights into a unit, minus that over all weights out of it."""
    now, task = begun(width=20, gamma_2=gamma_2, gamma_3=gamma_3, target=0.02)
    states = trajectory(now, task)
    losses = np.array([float(state.slope.loss) for state in states])
    assert (np.diff(losses) < 0).all()
    assert float(task.goal) * 0.999 < losses[-1] <= float(task.goal)

    def norms(state):
        first, second, third = (np.asarray(layer) for layer in state.layers)
        r1, r2, r3 = np.asarray(task.rates)
        into_1, out_1 = (first**2).sum(axis=1) / r1, (second**2).sum(axis=0) / r2
        into_2, out_2 = (second**2).sum(axis=1) / r2, third**2 / r3
        return np.array([into_1, out_1, into_2, out_2])

    change = norms(states[-1]) - norms(states[0])
    for into, out in (change[:2], change[2:]):
        assert np.abs(into - out).max() < 0.01 * np.abs(out).max()
        assert np.abs(out).max() > 0


def test_a_step_that_is_not_taken_leaves_all_as_it_was():
    now, task = begun(width=70, gamma_3=1.0)
    after = _attempt()(now._replace(step=now.step * 1e6), task)
    assert int(after.attempts) == 1
    assert int(after.steps) == 0
    assert float(after.step) < float(now.step) * 1e6
    for one, other in zip(jax.tree.leaves(after.layers), jax.tree.leaves(now.layers), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_updated_middle_layer_gives_the_slope_that_the_step_ended_with():
    now, task = begun(width=70, gamma_3=1.5)  # rows do not come out even
    states = trajectory(now, task)
    again = jax.jit(flow.begin)(states[-1].layers, task).slope
    for one, other in zip(again, states[-1].slope, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


ERRORS = dict.fromkeys(LAYERS, 1) | dict.fromkeys(("directions_1", "directions_2", "time"), 10)


@pytest.mark.parametrize("gamma_3", [0.75, pytest.param(2.25, marks=pytest.mark.slow)])
def test_half_the_tolerance_moves_nothing_by_more_than_the_stated_error(gamma_3):
    """Relative errors, in tolerances, as the card says."""
    whole, half = (
        measured(6, width=24, gamma_3=gamma_3, tolerance=tolerance) for tolerance in (0.01, 0.005)
    )
    for name, allowed in ERRORS.items():
        moved = np.abs(whole[name] / half[name] - 1)
        assert moved.max() < allowed * 0.01, name
        assert moved.max() > 0


# --- the network ------------------------------------------------------------------------------


def test_the_centred_network_starts_at_zero_and_the_other_does_not():
    for gamma_3 in (0.5, 2.0):
        now, _ = begun(width=20, gamma_3=gamma_3)
        assert float(now.slope.loss) == pytest.approx(0.5, rel=1e-12)
    now, task = begun(width=20, gamma_3=0.5, centred=False)
    assert float(now.slope.loss) > 1
    out = flow.outputs(now.layers, task.x, task.scale)
    assert float(now.slope.loss) == pytest.approx(float(jnp.mean((out - task.target) ** 2) / 2))


def test_all_points_of_a_width_start_from_the_same_weights_and_samples():
    system = canonical(ThreeLayer.tiny())
    one = Task(system=system, seed=0, realization=0, checksum="").lineage
    for name in set(controls(system)) - {"width"}:
        value = {"dataset": "synthetic", "centred": False}.get(name)
        other = getattr(system, name) * 0.5 + 1 if value is None else value
        other = int(other) if isinstance(getattr(system, name), int) and value is None else other
        changed = dataclasses.replace(system, **{name: other})
        assert Task(system=changed, seed=0, realization=0, checksum="").lineage == one, name


def test_samples_are_standardised_and_those_of_fewer_are_the_first():
    key = jax.random.key(3)
    arrays = {n: jnp.asarray(a) for n, a in synthetic.load("", None).arrays().items()}
    found = {
        n: realization.drawn_samples(ThreeLayer(dataset="synthetic", samples=n), key, arrays)
        for n in (10, 20)
    }
    for n, (x, y) in found.items():
        assert x.shape == (n, 65)
        assert float(y.mean()) == pytest.approx(0, abs=1e-12)
        assert float(y.var()) == pytest.approx(1)
        assert float((x[:, :-1] ** 2).sum(axis=1).mean()) == pytest.approx(1)
        np.testing.assert_array_equal(x[:, -1], 1)
    ratio = found[20][0][:10, :-1] / found[10][0][:, :-1]
    assert np.nanstd(ratio) < 1e-12


def test_images_are_learned():
    found = measured(1, width=24, dataset="synthetic", samples=12, target=0.1, gamma_3=1.0)
    assert found["loss"][0] == pytest.approx(0.1, rel=1e-3)
    for name in LAYERS:
        assert 0.01 < found[name][0] < 1


def test_effective_directions_of_known_configurations():
    rng = np.random.default_rng(0)
    length = rng.uniform(0.5, 2, size=150)
    parallel = length[:, None] * np.array([0.6, -0.8])
    assert float(effective_directions(jnp.asarray(parallel))) == pytest.approx(1)
    six = np.repeat(np.eye(6), 25, axis=0)
    apart = np.exp(-SHARPNESS)
    assert float(effective_directions(jnp.asarray(six))) == pytest.approx(6 / (1 + 5 * apart))
    angle = 2 * np.pi * np.arange(150) / 150
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert float(effective_directions(jnp.asarray(circle))) == pytest.approx(1 / ive(0, SHARPNESS))
    two = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])  # shares 0.9 and 0.1
    expected = 1 / (0.81 + 0.01 + 2 * 0.09 * apart)
    assert float(effective_directions(jnp.asarray(two))) == pytest.approx(expected)


# --- regimes ----------------------------------------------------------------------------------


def slopes(**changes):
    """Exponents of the three changes between two widths, with standard errors."""
    logs = [np.log([measured(6, width=m, **changes)[name] for name in LAYERS]) for m in (32, 256)]
    mean = (logs[1].mean(axis=1) - logs[0].mean(axis=1)) / np.log(8)
    error = np.sqrt(sum(one.var(axis=1, ddof=1) / 6 for one in logs)) / np.log(8)
    return mean, error


@pytest.mark.slow
def test_lazy_exponents_and_what_another_scale_or_rate_does_to_them():
    for gamma_3, gamma_2 in ((0.75, 0.0), (1.0, 0.0), (0.75, -0.5)):
        mean, error = slopes(gamma_3=gamma_3, gamma_2=gamma_2)
        expected = np.array(theory.exponents(gamma_2, gamma_3))
        assert (np.abs(mean - expected) < 0.1 + 2 * error).all(), (mean, error, expected)
        wrong = np.array(theory.exponents(gamma_2, gamma_3 + 0.5))
        assert (np.abs(mean - wrong) > 0.2).all()


def test_lines_of_the_theory_are_continuous_and_vanish_where_they_say():
    g2, g3 = np.meshgrid(np.linspace(-1.5, 1, 51), np.linspace(0.5, 5, 901))
    for line in theory.exponents(g2, g3):
        assert np.abs(np.diff(line, axis=0)).max() < 0.0101  # slopes of 2 at most
        assert np.abs(np.diff(line, axis=1)).max() < 0.101
        assert (np.diff(line, axis=0) > 0).all()
    at = np.linspace(-1.5, 1, 51)
    for layer, border in enumerate(theory.critical(at)):
        np.testing.assert_allclose(theory.exponents(at, border)[layer], 0, atol=1e-12)
    np.testing.assert_allclose(theory.critical(0.0), (1.5, 3))
    first, second = theory.critical(-0.5)
    assert first == second == 2.5  # where all four phases meet


def test_phases_and_the_border_of_each_layer_are_those_that_were_put_in():
    rng = np.random.default_rng(1)
    g2, g3 = np.array([-1.0, 0.0]), np.arange(1.0, 4.3, 0.2)
    widths = np.array([64, 128, 256, 512])
    first, second, _ = theory.exponents(g2[:, None], g3)
    shape = (len(widths), len(g2), len(g3), 6)
    dims = ("width", "gamma_2", "gamma_3", "realization")
    data = {
        name: (
            dims,
            widths[:, None, None, None] ** slope[None, ..., None]
            * np.exp(0.05 * rng.standard_normal(shape)),
        )
        for name, slope in (("change_1", first), ("change_2", second))
    }
    coords = {"width": widths, "gamma_2": g2, "gamma_3": g3}
    diagram = phase_diagram(xr.Dataset(data, coords), ThreeLayer)
    names = [[diagram.phase(int(c)).name for c in row] for row in diagram.cells["phase"].values]
    assert names[1][0] == names[0][0] == "linear"
    assert names[1][-1] == names[0][-1] == "condensed"
    assert {"W1 condensed"} == set(names[1]) - {"linear", "condensed", "unresolved"}
    assert {"W2 condensed"} == set(names[0]) - {"linear", "condensed", "unresolved"}
    borders = {
        (line.between[0][:2], line.at["gamma_2"]): line.estimate
        for line in diagram.boundaries
        if line.along == "gamma_3"
    }
    expected = {("W1", -1.0): 3.5, ("W2", -1.0): 2.5, ("W1", 0.0): 1.5, ("W2", 0.0): 3.0}
    assert borders.keys() == expected.keys()
    for place, value in expected.items():
        assert borders[place].low < value < borders[place].high
        assert borders[place].high - borders[place].low < 0.3


# --- failures ---------------------------------------------------------------------------------


def test_a_flow_without_its_target_is_a_recorded_failure_and_no_number(tmp_path, command):
    (tmp_path / "study.toml").write_text(
        'system = "three_layer"\nrealizations = 2\n[controls]\nwidth = 24\ntarget = 0.1\n'
        "[grid]\ngamma_3 = [1.0]\nbudget = [3, 1000]\n"
    )
    store = tmp_path / "store"
    command("run", tmp_path / "study.toml", "--store", store, "--workers", 1)
    _, said, _ = command("status", store)
    for name in ("change_1", "change_2", "change_3", "directions_1", "directions_2", "time"):
        assert f"{name}: not finite in 2 of 4 results" in said
    assert "loss: not finite" not in said


def test_what_is_no_number_any_more_is_finished():
    now, task = begun(width=20)
    system = ThreeLayer(width=20)
    state = realization.State(jax.random.key(0), task.x, task.target, now)
    assert not bool(realization.finished(system, state))
    for lost in (
        now._replace(slope=now.slope._replace(loss=jnp.array(jnp.nan))),
        now._replace(step=jnp.array(jnp.inf)),
    ):
        assert bool(realization.finished(system, state._replace(flow=lost)))


def test_a_plane_has_all_figures(tmp_path, command):
    study = Study(
        system=ThreeLayer(target=0.3, tolerance=0.1),
        grid={"width": [8, 16], "gamma_2": [-0.5, 0.0], "gamma_3": [1.0, 2.0]},
        realizations=2,
    )
    run(study, tmp_path / "store", workers=1)
    code, _, said = command("figures", tmp_path / "store", "--out", tmp_path / "figures")
    assert code == 0, said
    drawn = {file.stem for file in (tmp_path / "figures").glob("*.png")}
    assert drawn == {"phases", "exponents", "sizes", "directions"}


def test_the_lines_of_the_theory_are_drawn_over_a_plane():
    ax = Figure().subplots()
    ax.set(xlim=(-1, 0.5), ylim=(1, 4))
    draw_theory(ax)
    for line, border in zip(ax.get_lines(), theory.critical(np.linspace(-1, 0.5, 7)), strict=True):
        at = np.linspace(-1, 0.5, 7)
        np.testing.assert_allclose(np.interp(at, *line.get_data()), border, atol=0.01)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 0.5), (1, 4))
