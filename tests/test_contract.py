"""Every system keeps the same promises; a new one is covered by its `tiny()` preset alone.

The small systems of `edge_systems` are held to them too.
"""

from __future__ import annotations

import numpy as np
import pytest

from criticality import Study, data
from criticality.base import (
    Task,
    axes,
    canonical,
    card,
    controls,
    inner,
    plain,
    required,
    tiny,
    work,
)
from criticality.catalog import find
from criticality.engine import ensemble, host
from criticality.study.plan import checksum
from criticality.systems import BUILT_IN
from tests.edge_systems import EDGES

GOLDEN_KEYS = {
    # A changed key orphans every stored result: raise `version` and say so in CHANGELOG.md.
    "approximation": "71d7d1b1fbe468d199fe5720fc39314e7c571cde745bf8f154fe11af347dabe5",
    "approximation_lookup": "6868ad0571c92ac46b44f4afbee04e29d11b21367d772d42a4193ee74e16c81b",
    "approximation_trained": "f93bfb6f21b3b11392bb6a694972c8adcd5879849c2330f169773ccfc1ff483f",
    "dropout": "f8aba5a9d596713cac92d9829bee3452db3878195a1d88c9bf9c0b7dd03e161e",
    "dropout_cnn": "d3f242d85979f4ee4c06c8b7d180dab7912be2175947210d52e34c946e55f71c",
    "dropout_transformer": "0e5fd0f5c2246153e68abc8788c3776b03a8ebbcb15a2d58da13dc487333252c",
    "grokking": "9958fc4ac96da5a8598b8c8e3237a3cfca062ca505d30d0493a50f3b6669d43d",
    "grokking_theory": "9f3530ff160e61a566be8e315706741e2127c97b436a130614540d87e6aa2464",
    "lennard_jones": "eaf2de06c5aa382c56eb5ae7808daa56efc21be7379d8f15f6cb20a655f5bfe2",
    "lennard_jones_coexistence": "5a4c6285c668eb3f59227ed40cfbd0f37ab381cf9e9860933e532e4501e34344",
    "lennard_jones_free_energy": "f6a2739544ee5654db5cc52f48e2e26b5f751c85afda087b13a3fd386f14df8a",
    "lennard_jones_refinement": "96e05d38dd04fb240bb96462063f6074628a5903c7e1926109966bfa1ae4e147",
    "mean_variance": "8bfbc226cad3c47ad698fd81e86d453a714e1af3d7aecddb3df02b83471ce33b",
    "mean_variance_sweep": "23042c7d4544b0e94e382157a78ff55a74b41bfbcee56e2b977198909ff9dbd0",
    "mean_variance_theory": "079516eb11baedb9fec207aa5327f977c02ba4b2fda82004bc44003689eb341b",
    "onset": "3023fb4f7726ec2467b2d7ae973d6f5028efb4353e71bba139fc72729e0e90eb",
    "potts": "fe06ec0ae61632d9be009fdb597c85e4e030e0ae0000102708c1a93d831ba0e3",
    "potts_refinement": "cbac6292f0393d75fd832b8d802ed245462bd63a7f1de0aeb32e8c0495f36817",
    "pruning": "5cc8ce70a5b475cff4348932bfb0611f6cc1bd10189247d6f3ef783d09850886",
    "rbm": "31be7dd42b96318ed81d40144846789e4ff1efa7815eeaf1fb2f17eadf5fb4fe",
    "rbm_theory": "be86fc492b25d7745fde0215788fa17a1b309ebd40bdd6a5fbb7cf400f0a5035",
    "three_layer": "f5e2d0305c1d6c909523f508cb1f08be4d8d82e4d8e60a3f3a4069e42eca4b05",
    "topology": "ae5b8e5641684834d466b8b5e14b5ab5be5d21cc4674f3fb49b9f8db06143156",
}
PLACES = ("onset:Onset", "cnn:CNN", "transformer:Transformer")  # of findings, not installed
OF_PAPERS = [find(f"criticality.papers.systems.{place}") for place in PLACES]
SYSTEMS = {name: find(name) for name in BUILT_IN} | {card(kind).name: kind for kind in OF_PAPERS}
BUILT = pytest.mark.parametrize("kind", SYSTEMS.values(), ids=SYSTEMS)
ALL = SYSTEMS | EDGES
EVERY = pytest.mark.parametrize("kind", ALL.values(), ids=ALL)


def tasks(system, realizations=3, seed=0):
    fixed = canonical(system)
    return [
        Task(system=fixed, seed=seed, realization=r, checksum=checksum(fixed))
        for r in range(realizations)
    ]


def realize(tasks, arrays, width=1):
    if plain(tasks[0].system):
        return [result for _, result in host.stream(tasks, arrays)]
    return ensemble.realize(tasks, arrays, width)


def arrays_for(system):
    source = required(system)
    return data.load(source).arrays() if source else {}


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# whose programs take long to compile, for one realization and for a batch of them
LONG = ("lennard_jones_coexistence", "lennard_jones_free_energy", "lennard_jones_refinement")
LONG += ("potts_refinement", *(card(kind).name for kind in OF_PAPERS))
TOGETHER = [
    pytest.param(kind, id=name, marks=pytest.mark.slow if name in LONG else ())
    for name, kind in ALL.items()
]


@pytest.fixture(scope="module", params=TOGETHER)
def together(request):
    system = tiny(request.param)
    return system, realize(tasks(system), arrays_for(system))


def test_alone_as_in_a_sequence_bit_for_bit(together):
    system, results = together
    for task, result in reversed(list(zip(tasks(system), results, strict=True))):
        assert_identical(realize([task], arrays_for(system))[0], result)


def test_a_wide_batch_is_the_same_computation(together):
    # vmap may round a sum in another order, so not bit for bit
    system, results = together
    batch = realize(tasks(system)[:2], arrays_for(system), width=3)
    for one, other in zip(batch, results[:2], strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=name)


def test_a_lane_does_not_depend_on_its_neighbours_bit_for_bit(together):
    system, _ = together
    every = realize(tasks(system), arrays_for(system), width=3)
    turned = realize(tasks(system)[::-1], arrays_for(system), width=3)[::-1]
    for one, other in zip(every, turned, strict=True):
        assert_identical(one, other)


def test_realizations_and_seeds_differ(together):
    system, results = together
    other = realize(tasks(system, 1, seed=1), arrays_for(system))[0]
    every = [*results, other]
    for i, one in enumerate(every):
        for two in every[i + 1 :]:
            same = all(np.array_equal(one[name], two[name], equal_nan=True) for name in one)
            assert same == card(system).deterministic


def test_observables_are_finite_and_have_the_declared_shape(together):
    system, results = together
    lengths = {name: len(values) for name, values in inner(system).items()}
    assert set(results[0]) == {o.name for o in card(system).observables}
    for observable in card(system).observables:
        value = results[0][observable.name]
        assert value.shape == tuple(lengths[dim] for dim in observable.dims)
        fine = np.isfinite(value) | (observable.censored & np.isposinf(value))
        assert observable.undefined or fine.all()


@EVERY
def test_toml_round_trip(kind, tmp_path):
    system = tiny(kind)

    def toml(value):
        if isinstance(value, bool):
            return str(value).lower()
        return (
            f'"{value}"'
            if isinstance(value, str)
            else str(value).replace("(", "[").replace(")", "]")
        )

    lines = [f"{name} = {toml(value)}" for name, value in controls(system).items()]
    file = tmp_path / "study.toml"
    file.write_text(f'system = "{card(kind).name}"\nseed = 5\n[controls]\n' + "\n".join(lines))
    read = Study.from_toml(file, kind)
    assert read.system == canonical(system)
    assert read.tasks()[0].key == Study(system=system, seed=5).tasks()[0].key


@BUILT
def test_golden_task_key(kind):
    assert tasks(tiny(kind))[0].key == GOLDEN_KEYS[card(kind).name]


@EVERY
def test_every_control_enters_the_key_and_outer_ones_the_randomness(kind):
    system = canonical(tiny(kind))
    base = tasks(system)[0]
    for name, axis in axes(kind).items():
        value = getattr(system, name)
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, str):
            other = next((c for c in axis.choices if c != value), value)
        elif isinstance(value, tuple):
            other = value[:1]
        else:
            other = value + 1 if axis.admits(value + 1) else value + 0.01
        if other == value:
            continue
        changed = tasks(canonical(system, **{name: other}))[0]
        assert changed.key != base.key, name
        assert (changed.lineage == base.lineage) == (axis.inner or axis.shared), name


def test_finer_inner_axes_leave_the_old_points_alone(together):
    # evaluation masks depend on the value of a rate, not on the grid around it
    system, (old, *_) = together
    lists = {
        name: getattr(system, name)
        for name, axis in axes(system).items()
        if axis.inner and not axis.ordered  # a protocol: what comes after a new point may feel it
        if isinstance(getattr(system, name), tuple)
    }
    if not lists:
        return
    # all of them at once: one program in place of several, and whichever is felt shows
    finer = {name: (values[0], 0.37, *values[1:]) for name, values in lists.items()}
    changed = canonical(system, **finer)
    new = realize(tasks(changed, 1), arrays_for(changed))[0]
    for observable in card(system).observables:
        kept = new[observable.name]
        for at, name in enumerate(observable.dims):
            if name in lists:
                kept = np.delete(kept, 1, axis=at)
        if set(lists) & set(observable.dims):
            np.testing.assert_array_equal(kept, old[observable.name])


@BUILT
def test_work_grows_with_the_size_of_the_problem(kind):
    system = tiny(kind)
    assert work(system) > 0
    if hasattr(system, "n_train"):
        bigger = canonical(system, n_train=2 * system.n_train)
        assert work(system) < work(bigger) < 2.5 * work(system)
