"""Diagnostics: closed forms on quadratics in float64, definitions on the toy supernet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import curvature, diagnostics, hypergrad
from jaxnas.methods import darts
from jaxnas.spaces import genome
from jaxnas.spaces.genotype import Cell, Genotype
from tests import toy

KEY = jax.random.key(0)


@pytest.fixture
def quadratics(x64):
    """(value, at, batches, mean Hessian, mean gradient): three quadratics of nine numbers."""
    random = np.random.default_rng(0)
    matrices = random.normal(size=(3, 9, 9))
    matrices = matrices + np.swapaxes(matrices, 1, 2)
    lines = random.normal(size=(3, 9))
    at = {"a": jnp.array(random.normal(size=(2, 3))), "b": jnp.array(random.normal(size=3))}
    flat = lambda point: jnp.concatenate([point["a"].reshape(-1), point["b"]])

    def value(point, batch):
        matrix, line = batch
        return 0.5 * flat(point) @ matrix @ flat(point) + line @ flat(point)

    mean = matrices.mean(0)
    slope = mean @ np.asarray(flat(at)) + lines.mean(0)
    return value, at, (jnp.array(matrices), jnp.array(lines)), mean, slope


def test_the_hessian_of_a_quadratic_is_its_matrix(quadratics):
    value, at, batches, matrix, _ = quadratics
    found = toy.jit(lambda at, b: curvature.hessian(value, at, b))(at, batches)
    np.testing.assert_allclose(found, matrix, rtol=1e-12)
    np.testing.assert_allclose(
        curvature.spectrum(found), np.linalg.eigvalsh(matrix), rtol=1e-10, atol=1e-12
    )


def test_lanczos_with_all_iterations_gives_the_spectrum(quadratics):
    value, at, batches, matrix, _ = quadratics
    found = toy.jit(lambda at, b: curvature.lanczos(value, at, b, KEY, 50))(at, batches)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(matrix), rtol=1e-9, atol=1e-12)
    assert found.errors.max() < 1e-9


def test_lanczos_cut_short_knows_its_error(quadratics):
    value, at, batches, matrix, _ = quadratics
    found = toy.jit(lambda at, b: curvature.lanczos(value, at, b, KEY, 5))(at, batches)
    assert found.values.shape == (5,)
    distance = np.abs(np.linalg.eigvalsh(matrix)[:, None] - np.asarray(found.values)).min(0)
    assert (distance <= np.asarray(found.errors) + 1e-12).all()
    assert distance.max() > 1e-3


@pytest.mark.parametrize(
    "eigenvalues", [[-2.0] * 6, [3.0, 3.0, 3.0, -1.0, -1.0, 0.0], [0.0] * 6], ids=str
)
def test_lanczos_goes_on_where_eigenvalues_repeat(x64, eigenvalues):
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    matrix = jnp.array(basis @ np.diag(eigenvalues) @ basis.T)
    value = lambda point, batch: 0.5 * point @ matrix @ point
    found = toy.jit(lambda at: curvature.lanczos(value, at, jnp.zeros(1), KEY, 6))(jnp.ones(6))
    np.testing.assert_allclose(found.values, np.sort(eigenvalues), atol=1e-9)


def test_lanczos_finds_the_ends_of_a_large_spectrum_in_float32():
    # Eigenvalues fall as in networks: a few large ones, and a bulk at zero.
    scales = jnp.concatenate([jnp.array([9.0, 5.0, -2.0]), 0.1 * jnp.cos(jnp.arange(397.0))])
    value = lambda point, batch: 0.5 * jnp.sum(scales * point**2)
    found = toy.jit(lambda at: curvature.lanczos(value, at, jnp.zeros(1), KEY, 30))(jnp.ones(400))
    np.testing.assert_allclose(found.values[jnp.array([0, -2, -1])], [-2, 5, 9], rtol=1e-5)


def test_sharpness_of_a_quadratic_is_its_closed_form(quadratics):
    value, at, batches, matrix, slope = quadratics
    found = toy.jit(lambda at, b: curvature.sharpness(value, at, b, 0.3))(at, batches)
    unit = slope / np.linalg.norm(slope)
    expected = 0.3 * np.linalg.norm(slope) + 0.5 * 0.3**2 * unit @ matrix @ unit
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_flat_point_is_not_sharp(x64):
    value = lambda point, batch: jnp.sum(point**2)
    found = curvature.sharpness(value, jnp.zeros(3), jnp.zeros(2), 0.5)
    assert found == 0


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_refuses_a_radius_that_is_none(radius):
    with pytest.raises(ValueError, match="radius above 0"):
        curvature.sharpness(lambda p, b: p, jnp.ones(()), jnp.zeros(1), radius)


def test_refuses_no_iterations():
    with pytest.raises(ValueError, match="at least one iteration"):
        curvature.lanczos(lambda p, b: p, jnp.ones(()), jnp.zeros(1), KEY, 0)


# Of a search.


@pytest.fixture
def found(x64):
    """(supernet, search, state, three batches), in float64."""
    net = toy.supernet()
    search = darts.darts(net, steps_per_epoch=2, epochs=4)
    batches = toy.batches(3, 3)
    batches = batches._replace(inputs=batches.inputs.astype(jnp.float64))
    state = search.init(jax.random.key(1), batches.inputs[0])
    wide = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    state = state._replace(
        arch=jax.tree.map(lambda x: 300 * wide(x), state.arch),
        weights=jax.tree.map(wide, state.weights),
        stats=jax.tree.map(wide, state.stats),
    )
    return net, search, state, batches


def cross_entropy(net, state, batches):
    """(arch, weights) -> the loss, written out."""

    def value(arch, weights):
        gates = {name: jax.nn.softmax(x) for name, x in arch.items()}
        logits = jax.vmap(lambda x: net.apply(weights, state.stats, gates, x)[0])(batches.inputs)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, batches.labels[..., None], -1).mean()

    return value


def test_the_arch_hessian_is_that_of_jax(found):
    net, search, state, batches = found
    value = cross_entropy(net, state, batches)
    blocks = toy.jit(jax.hessian(value))(state.arch, state.weights)
    names = list(blocks)
    sizes = {name: state.arch[name].size for name in names}
    expected = np.block(
        [[np.asarray(blocks[a][b]).reshape(sizes[a], sizes[b]) for b in names] for a in names]
    )
    matrix = toy.jit(lambda s, b: diagnostics.arch_hessian(net, search, s, b, 1e-3))(state, batches)
    np.testing.assert_allclose(matrix, expected + 1e-3 * np.eye(14), rtol=1e-8, atol=1e-12)
    ritz = toy.jit(lambda s, b: diagnostics.arch_eigenvalues(net, search, s, b, KEY))(
        state, batches
    )
    np.testing.assert_allclose(ritz.values, np.linalg.eigvalsh(expected), rtol=1e-6, atol=1e-10)


def test_the_weights_eigenvalue_and_sharpness_are_those_of_the_loss(found):
    net, search, state, batches = found
    value = cross_entropy(net, state, batches)
    flat, restore = jax.flatten_util.ravel_pytree(state.weights)
    of_flat = lambda w: value(state.arch, restore(w))
    largest = np.linalg.eigvalsh(toy.jit(jax.hessian(of_flat))(flat))[-1]
    ritz = toy.jit(lambda s, b: diagnostics.weight_eigenvalues(net, search, s, b, KEY, 40))(
        state, batches
    )
    np.testing.assert_allclose(ritz.values[-1], largest, rtol=1e-6)

    slope = toy.jit(jax.grad(of_flat))(flat)
    expected = of_flat(flat + 0.1 * slope / jnp.linalg.norm(slope)) - of_flat(flat)
    rise = toy.jit(lambda s, b: diagnostics.sharpness(net, search, s, b, 0.1))(state, batches)
    np.testing.assert_allclose(rise, expected, rtol=1e-9)


def test_entropy_is_that_of_the_gates():
    even = {"normal": jnp.full((14, 8), 1 / 8), "reduce": jnp.full((14, 8), 1 / 8)}
    np.testing.assert_allclose(diagnostics.entropy(even), np.log(8), rtol=1e-6)
    mixed = {"normal": jnp.eye(3), "reduce": jnp.array([[0.5, 0.5]])}
    np.testing.assert_allclose(diagnostics.entropy(mixed), np.log(2) / 4, rtol=1e-6)


def chosen(net):
    """A genotype of the toy: node 2 keeps one of its two edges."""
    cells = {
        "normal": Cell(((0, 1, "tanh"), (1, 2, "identity")), 1, (2,)),
        "reduce": Cell(((0, 1, "identity"),), 1, (1,)),
    }
    return Genotype("toy", cells)


def test_the_discretisation_gap_is_lost_by_selecting(found):
    net, search, state, batches = found
    hard = genome.one_hot(net.space, genome.encode(net.space, chosen(net)))
    measured = toy.jit(lambda s, b: diagnostics.discretisation_gap(net, search, s, hard, b))(
        state, batches
    )

    def right(gates):
        logits = [net.apply(state.weights, state.stats, gates, x)[0] for x in batches.inputs]
        return np.mean(np.argmax(np.stack(logits), -1) == np.asarray(batches.labels))

    own, discrete = right(search.gates(state)), right(hard)
    np.testing.assert_allclose([measured.supernet, measured.discrete], [own, discrete], rtol=1e-6)
    np.testing.assert_allclose(measured.gap, own - discrete, atol=1e-7)
    assert own != discrete


def test_there_is_no_gap_where_the_gates_are_already_discrete(found):
    net, search, state, batches = found
    hard = genome.one_hot(net.space, genome.encode(net.space, chosen(net)))
    measured = diagnostics.discretisation_gap(
        net, search._replace(gates=lambda s: hard), state, hard, batches
    )
    assert measured.gap == 0


# Hypergradients.

RULES = {
    "first": hypergrad.first_order(),
    "exact": hypergrad.unrolled(),
    "difference": hypergrad.finite_difference(),
}


def angle(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_cosines_on_a_quadratic_are_their_closed_forms(x64):
    q = toy.quadratic(rate=0.3)
    rules = RULES | {"implicit": hypergrad.conjugate_gradient(30)}
    found = toy.jit(lambda a, w: diagnostics.agreement(q.problem, a, w, rules))(q.arch, q.weights)
    w = np.concatenate([q.weights["head"], q.weights["tail"]])
    target, slope = w - q.v, q.hessian @ w + q.mixed.T @ np.asarray(q.arch)
    looked = -0.3 * q.mixed @ (w - 0.3 * slope - target)
    solved = -q.mixed @ np.linalg.solve(q.hessian, q.v)
    expected = {
        ("first", "exact"): angle(q.direct, q.direct + looked),
        ("exact", "difference"): 1.0,
        ("exact", "implicit"): angle(q.direct + looked, q.direct + solved),
    }
    for pair, value in expected.items():
        np.testing.assert_allclose(found.total[pair], value, rtol=1e-8)
    np.testing.assert_allclose(found.implicit["exact", "difference"], 1.0, rtol=1e-8)
    np.testing.assert_allclose(
        found.implicit["exact", "implicit"], angle(looked, solved), rtol=1e-8
    )
    assert np.isnan(found.implicit["first", "exact"])


def test_rules_agree_on_a_smooth_network(found):
    net, search, state, batches = found
    train, valid = toy.at(batches, 0), toy.at(batches, 1)
    problem = diagnostics.problem(net, search, state, train, valid, 0.1)
    rules = {name: RULES[name] for name in ("exact", "difference")}
    measured = toy.jit(lambda a, w: diagnostics.agreement(problem, a, w, rules))(
        state.arch, state.weights
    )
    assert measured.total["exact", "difference"] > 1 - 1e-6
    assert 1 - 1e-2 < measured.implicit["exact", "difference"] <= 1 + 1e-12


def test_the_problem_is_of_the_two_batches(found):
    net, search, state, batches = found
    train, valid = toy.at(batches, 0), toy.at(batches, 1)
    problem = diagnostics.problem(net, search, state, train, valid, 0.25)
    one = lambda n: jax.tree.map(lambda x: x[n : n + 1], batches)
    for level, n in ((problem.inner, 0), (problem.outer, 1)):
        expected = cross_entropy(net, state, one(n))(state.arch, state.weights)
        np.testing.assert_allclose(level(state.arch, state.weights)[0], expected, rtol=1e-9)
    np.testing.assert_allclose(problem.descend(jnp.array([4.0]), jnp.array([2.0])), [1.0])


def test_refuses_a_cosine_of_one():
    q = toy.quadratic()
    with pytest.raises(ValueError, match="at least two rules"):
        diagnostics.agreement(q.problem, q.arch, q.weights, {"first": hypergrad.first_order()})
