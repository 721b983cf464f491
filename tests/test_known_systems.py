"""The generators of known systems against exact enumerations and published numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize, special, stats

from criticality import InputError, collapse, compare, crossings
from tests import known_systems as known

ALARM = 1e-4  # false-alarm probability of each comparison below; seeds are fixed


def agree(samples, exact, allowance=0.0):
    """Whether the mean over realizations is compatible with `exact`."""
    samples = np.asarray(samples, float)
    n = len(samples)
    limit = stats.t.isf(ALARM / 2, n - 1) * samples.std(ddof=1) / np.sqrt(n)
    return abs(samples.mean() - exact) < limit + allowance


def states(count):
    """[2^count, count]: all combinations of 0 and 1."""
    return (np.arange(2**count)[:, None] >> np.arange(count)) & 1


# --- Curie-Weiss ---


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_curie_weiss_is_the_sum_over_all_states(temperature):
    spins = 2 * states(8) - 1
    pairs = (np.einsum("si,sj->s", spins, spins) - 8) / 2  # each pair once
    weight = np.exp(pairs / 8 / temperature)  # coupling 1/N
    weight /= weight.sum()
    m, probability = known.curie_weiss_distribution(8, temperature)
    for value, found in zip(m, probability, strict=True):
        assert np.isclose(weight[np.isclose(spins.mean(axis=1), value)].sum(), found)


def test_curie_weiss_samples_have_the_moments_of_the_distribution():
    found = known.measure_curie_weiss([8, 50], [0.8, 1.2], 60, np.random.default_rng(1))
    for size, at in itertools.product([8, 50], [0, 1]):
        m, probability = known.curie_weiss_distribution(size, [0.8, 1.2][at])
        for name, power in (("abs", 1), ("square", 2), ("fourth", 4)):
            exact = np.abs(m) ** power @ probability
            assert agree(found.values[size][name][:, at], exact)


def test_curie_weiss_large_sizes_follow_landau_theory():
    m, probability = known.curie_weiss_distribution(40_000, 1.0)
    # exp(-x^4 / 12) with x = m N^(1/4)
    square = np.sqrt(12) * special.gamma(0.75) / special.gamma(0.25)
    assert np.isclose(m**2 @ probability * 40_000**0.5, square, rtol=0.01)
    m, probability = known.curie_weiss_distribution(40_000, 0.5)
    root = optimize.brentq(lambda m: np.tanh(m / 0.5) - m, 0.1, 1)
    assert np.isclose(np.abs(m) @ probability, root, rtol=1e-3)


# --- percolation ---


def flooded(open_, start, periodic):
    """Sites connected with `start`, one step at a time."""
    size = len(open_)
    reached, edge = set(start), list(start)
    while edge:
        i, j = edge.pop()
        for site in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if periodic:
                site = site[0] % size, site[1] % size
            inside = min(site) >= 0 and max(site) < size
            if inside and open_[site] and site not in reached:
                reached.add(site)
                edge.append(site)
    return reached


@pytest.mark.parametrize("probability", [0.4, 0.7])
def test_percolation_is_the_sum_over_all_lattices(probability):
    spanning = strength = 0.0
    for bits in states(9):
        open_ = bits.reshape(3, 3).astype(bool)
        weight = probability ** bits.sum() * (1 - probability) ** (9 - bits.sum())
        top = flooded(open_, [(0, j) for j in range(3) if open_[0, j]], False)
        spanning += weight * any(i == 2 for i, _ in top)
        sites = map(tuple, np.argwhere(open_))
        largest = max((len(flooded(open_, [site], True)) for site in sites), default=0)
        strength += weight * largest / 9
    rng = np.random.default_rng(2)
    found = known.measure_percolation([3], [probability], 60, rng, lattices=100).values[3]
    assert agree(found["spanning"], spanning)
    assert agree(found["strength"], strength)


def test_percolation_at_the_threshold_and_away_from_it():
    sizes, grid = (16, 64), [0.45, known.P_C, 0.75]
    found = known.measure_percolation(sizes, grid, 60, np.random.default_rng(3)).values
    # R_L(p_c) = 1/2 + 0.319/L [Ziff, PRL 69, 2670 (1992)]
    for size in sizes:
        assert agree(found[size]["spanning"][:, 1], 0.5 + 0.319 / size)
    assert found[64]["spanning"][:, 0].max() == 0
    assert found[64]["spanning"][:, 2].min() == 1
    ratio = found[16]["strength"][:, 1].mean() / found[64]["strength"][:, 1].mean()
    assert np.isclose(ratio, 4 ** (5 / 48), rtol=0.03)


# --- Ising ---


@pytest.mark.parametrize("coupling", [0.25, known.K_C, 0.6])
def test_ising_is_the_sum_over_all_states(coupling):
    spins = (2 * states(16) - 1).reshape(-1, 4, 4)
    bonds = (spins * (np.roll(spins, 1, axis=1) + np.roll(spins, 1, axis=2))).sum(axis=(1, 2))
    weight = np.exp(coupling * (bonds - 32))
    weight /= weight.sum()
    m = np.abs(spins.mean(axis=(1, 2)))
    found = known.measure_ising([4], [coupling], 100, np.random.default_rng(4), sweeps=300)
    for name, power in (("abs", 1), ("square", 2), ("fourth", 4)):
        assert agree(found.values[4][name], m**power @ weight)


def test_ising_large_lattices_have_the_known_magnetisation_and_cumulant():
    rng = np.random.default_rng(5)
    found = known.measure_ising([32], [0.5], 20, rng, sweeps=60).values[32]
    yang = (1 - np.sinh(2 * 0.5) ** -4) ** 0.125
    assert agree(found["abs"], yang)
    # at K_c [Kamieniarz and Bloete, J. Phys. A 26, 201 (1993)]; the chains pooled
    found = known.measure_ising([16], [known.K_C], 100, rng, sweeps=150).values[16]
    pooled = 1 - found["fourth"].mean() / (3 * found["square"].mean() ** 2)
    assert np.isclose(pooled, 0.61069, atol=0.004)


def test_ising_does_not_depend_on_how_chains_are_blocked(monkeypatch):
    grid = [0.4, 0.42, 0.44, 0.46]
    monkeypatch.setattr(known, "BLOCK", 6 * 64)
    found = known.measure_ising([8], grid, 50, np.random.default_rng(6), sweeps=60).values[8]
    whole = known.measure_ising([8], grid, 50, np.random.default_rng(7), sweeps=60)
    assert np.all(np.diff(found["abs"].mean(axis=0)) > 0)  # chains keep their couplings
    for at in range(4):
        pair = found["abs"][:, at], whole.values[8]["abs"][:, at]
        assert stats.ttest_ind(*pair).pvalue > ALARM


# --- random graphs ---


def test_random_graph_of_three_nodes_is_the_sum_over_all_graphs():
    degree, q = 1.2, 1 - 1.2 / 3
    exact = (q**3 + 2 * 3 * q**2 * (1 - q) + 3 * (3 * q * (1 - q) ** 2 + (1 - q) ** 3)) / 3
    for shared in (False, True):
        rng = np.random.default_rng(8)
        grid = [degree, 2.0]
        data = known.random_graph([3, 4], grid, 100, rng, graphs=100, shared=shared)
        assert agree(data.curves[0].samples[:, 0], exact)


def test_random_graph_has_the_giant_component():
    size = 20_000
    data = known.random_graph([2000, size], [0.5, 2.0], 10, np.random.default_rng(9), graphs=2)
    small, giant = data.curves[1].mean
    root = optimize.brentq(lambda s: 1 - np.exp(-2 * s) - s, 0.1, 1)
    assert np.isclose(giant, root, atol=0.003)
    assert small < 10 * np.log(size) / size  # about log(N) / (c - 1 - log c)
    # more graphs than are treated at once
    many = known.random_graph([2000, 3000], [2.0], 3, np.random.default_rng(18), graphs=70)
    assert np.allclose(many.mean, root, atol=0.005)


# --- points of one realization ---


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("system", ["percolation", "random_graph"])
def test_shared_realizations_are_correlated_and_others_are_not(system, shared):
    rng = np.random.default_rng(10)
    if system == "percolation":
        grid = known.P_C + np.linspace(-0.03, 0.03, 4)
        options = {"lattices": 10, "observable": "strength"}
        data = known.percolation([8, 16], grid, 100, rng, shared=shared, **options)
    else:
        grid = np.linspace(0.8, 1.2, 4)
        data = known.random_graph([50, 100], grid, 100, rng, shared=shared, graphs=4)
    for curve in data.curves:
        found = curve.correlation[np.triu_indices(4, 1)]
        if shared:
            assert np.all(np.diff(curve.samples, axis=1) >= 0)  # clusters only grow
            assert found.min() > 0.3
        else:
            assert np.abs(found).max() < stats.norm.isf(ALARM / 2 / 6) / np.sqrt(100)


# --- made-up curves ---


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_network_noise_has_the_stated_covariance(correlation):
    noise = known.network_noise((40_000, 3), 0.2, correlation, np.random.default_rng(11))
    exact = 0.2**2 * (correlation + (1 - correlation) * np.eye(3))
    assert np.allclose(np.cov(noise.T), exact, atol=5 * 0.2**2 * np.sqrt(2 / 40_000))
    assert np.abs(noise.mean(axis=0)).max() < 5 * 0.2 / np.sqrt(40_000)


@pytest.mark.parametrize(
    ("ansatz", "exponent", "options", "factor"),
    [
        ("algebraic", 2.0, {}, lambda L: np.sqrt(L / 8000)),
        ("algebraic", 2.0, {"beta": 0.5}, lambda L: np.sqrt(L / 8000)),
        ("bkt", 0.5, {}, lambda L: (np.log(L) / np.log(8000)) ** 2),
        ("bkt", 1.3, {"L0": 20.0}, lambda L: (np.log(L / 20) / np.log(400)) ** (1 / 1.3)),
    ],
)
def test_synthetic_data_follow_the_stated_master_curve(ansatz, exponent, options, factor):
    rng = np.random.default_rng(12)
    data = known.synthetic(
        ansatz, 0.45, exponent, **known.STANDARD, noise=1e-9, correlation=0.5, rng=rng, **options
    )
    assert [len(curve.samples) for curve in data.curves] == [40] * 5
    for curve in data.curves:
        x = (curve.control - 0.45) / 0.25 * factor(curve.size)  # 0.25: from 0.45 to 0.7
        expected = 1 / (1 + np.exp(-4 * x)) + 0.2 * x
        expected = expected * curve.size ** -(options.get("beta", 0) / exponent)
        assert np.allclose(curve.mean, expected, atol=1e-8)


def test_synthetic_noise_is_that_of_the_networks():
    options = {**known.STANDARD, "realizations": 4000}
    rng = np.random.default_rng(13)
    data = known.synthetic("bkt", 0.5, 0.5, **options, noise=0.1, correlation=0.3, rng=rng)
    for curve in data.curves:
        assert np.allclose(curve.error, 0.1 / np.sqrt(4000), rtol=0.06)
        assert np.allclose(curve.correlation[np.triu_indices(20, 1)], 0.3, atol=0.08)
    means = np.array([curve.samples.mean(axis=1) for curve in data.curves])
    between = np.corrcoef(means)[np.triu_indices(5, 1)]  # sizes are independent
    assert np.abs(between).max() < 5 / np.sqrt(4000)


def test_null_controls_have_no_size_dependence_that_lasts():
    rng = np.random.default_rng(14)
    grid = np.array([0.35, 0.45, 0.55, 0.65])
    options = {"noise": 1e-9, "rng": rng, "realizations": 3}
    same = known.no_transition((500, 8000), grid, **options)
    assert np.allclose(same.curves[0].mean, same.curves[1].mean, atol=1e-7)
    cross = known.smooth_crossover((500, 1000, 8000, 10**9), grid, **options)
    logit = np.array([special.logit(curve.mean) for curve in cross.curves])
    width = (grid - 0.5) / logit
    assert np.allclose(width, 0.05 * np.array([[2], [1.5], [1.0625], [1]]), rtol=1e-5)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_shuffled_moves_whole_curves_to_other_sizes(number):
    sizes = (10, 20, 40, 80, 160)[:number]
    grid = np.linspace(0.4, 0.6, 5)
    data = known.smooth_crossover(sizes, grid, 6, np.random.default_rng(15))
    for seed in range(20):
        other = known.shuffled(data, np.random.default_rng(seed))
        assert np.array_equal(other.sizes, data.sizes)
        where = [
            next(i for i, c in enumerate(data.curves) if np.array_equal(c.samples, curve.samples))
            for curve in other.curves
        ]
        assert sorted(where) == list(range(number))
        assert all(i != j for i, j in enumerate(where))
        assert number == 2 or where != list(range(number))[::-1]


# --- all ---

CALLS = {
    "curie_weiss": lambda rng: known.curie_weiss([8, 16], [0.9, 1.1], 3, rng),
    "percolation": lambda rng: known.percolation([4, 8], [0.5, 0.6], 3, rng),
    "ising": lambda rng: known.ising([4, 8], [0.3, 0.5], 3, rng, sweeps=5, observable="binder"),
    "random_graph": lambda rng: known.random_graph([20, 40], [0.9, 1.1], 3, rng),
    "smooth_crossover": lambda rng: known.smooth_crossover([20, 40], [0.4, 0.6], 3, rng),
    "no_transition": lambda rng: known.no_transition([20, 40], [0.4, 0.6], 3, rng),
    "synthetic": lambda rng: known.synthetic(
        "bkt", 0.5, 1.3, [20, 40], [0.4, 0.6], 3, 0.1, 0.5, rng
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_generators_are_functions_of_their_seed(name):
    first, again, other = (CALLS[name](np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.mean, again.mean)
    assert not np.array_equal(first.mean, other.mean)
    assert first.realizations == 3


def test_every_size_can_have_a_window_of_its_own():
    grid = known.window((16, 64), 1.0, 2.0, 2.0, 5)
    assert np.allclose(grid[16], [0.5, 0.75, 1, 1.25, 1.5])
    assert np.allclose(grid[64], [0.75, 0.875, 1, 1.125, 1.25])
    data = known.curie_weiss((16, 64), grid, 3, np.random.default_rng(16))
    assert np.array_equal(data.control, np.concatenate([grid[16], grid[64]]))


@pytest.mark.parametrize("analysis", [collapse, compare, crossings])
def test_saturated_points_are_refused_unless_a_range_leaves_them_out(analysis):
    controls = [0.01, 0.5, 0.55, 0.6, 0.65]
    data = known.percolation([8, 16], controls, 6, np.random.default_rng(17))
    with pytest.raises(InputError, match="all realizations agree"):
        analysis(data)
    assert (data.restrict((0.5, 0.65)).error > 0).all()
