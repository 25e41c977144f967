"""Hypergradients against closed forms, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import hypergrad
from tests import toy

pytestmark = pytest.mark.usefixtures("x64")


def gradient(rule, problem, arch, weights):
    return toy.jit(rule.rule(problem))(arch, weights)[1]


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def plain_descent(rate):
    return lambda grads, weights: weights - rate * grads


# The solvable problem, from (a, w) = (2, -2).

look_aheads = pytest.mark.parametrize(
    "rule",
    [hypergrad.unrolled(), hypergrad.finite_difference(), hypergrad.finite_difference(10.0)],
    ids=["exact", "finite difference", "wide finite difference"],
)


@look_aheads
@pytest.mark.parametrize(("rate", "expected"), [(0.0, -4.0), (0.5, 2.0)])
def test_first_step_is_that_of_the_solvable_problem(rule, rate, expected):
    problem = toy.solvable(plain_descent(rate))
    assert gradient(rule, problem, 2.0, -2.0) == pytest.approx(expected, rel=1e-12)


def test_first_order_ignores_the_look_ahead():
    problem = toy.solvable(plain_descent(0.5))
    assert gradient(hypergrad.first_order(), problem, 2.0, -2.0) == -4.0


@look_aheads
def test_momentum_and_decay_move_the_look_ahead_alone(rule):
    tx = optax.chain(optax.add_decayed_weights(3e-4), optax.sgd(0.1, momentum=0.9))
    start = jnp.array(-2.0)
    descend = toy.descent(tx, optax.tree.set(tx.init(start), trace=jnp.array(0.5)))
    problem = toy.solvable(descend)
    slope = jax.grad(lambda w: problem.inner(2.0, w)[0])(start)
    assert descend(slope, start) == pytest.approx(-1.24494, rel=1e-12)
    assert gradient(rule, problem, jnp.array(2.0), start) == pytest.approx(-2.84494, rel=1e-9)


RATES = np.array([0.0, 0.05, 0.25, 0.45, 0.5, 0.6, 0.7])


def settle(rule, rates):
    """Where alternating descent ends, for each look-ahead rate: (arch, weights)."""

    def from_start(rate):
        problem = toy.solvable(plain_descent(rate))

        def alternate(_, place):
            arch, weights = place
            arch = arch - 0.1 * rule.rule(problem)(arch, weights)[1]
            return arch, weights - 0.1 * jax.grad(problem.inner, 1, has_aux=True)(arch, weights)[0]

        return jax.lax.fori_loop(0, 3000, alternate, (jnp.array(2.0), jnp.array(-2.0)))

    return toy.jit(jax.vmap(from_start))(rates)


def test_fixed_points_are_those_derived_for_every_rate():
    expected = [2.0, 1.818182, 1.333333, 1.052632, 1.0, 0.909091, 0.833333]
    np.testing.assert_allclose(2 / (1 + 2 * RATES), expected, atol=5e-7)
    arch, weights = settle(hypergrad.unrolled(), RATES)
    np.testing.assert_allclose(arch, 2 / (1 + 2 * RATES), rtol=1e-10)
    np.testing.assert_allclose(weights, arch, rtol=1e-10)


def test_first_order_settles_in_the_wrong_place():
    arch, _ = settle(hypergrad.first_order(), RATES[:1])
    np.testing.assert_allclose(arch, 2.0, rtol=1e-10)


@pytest.mark.parametrize(
    "rule", [hypergrad.neumann(200, 0.2), hypergrad.conjugate_gradient(2)], ids=["neumann", "cg"]
)
def test_implicit_rules_settle_in_the_optimum(rule):
    np.testing.assert_allclose(settle(rule, RATES[:1]), 1.0, rtol=1e-10)


# A smooth random problem, with clipping, momentum and decay inside the look-ahead.


def composed(problem, arch, weights):
    """The objective of the look-ahead written out, for `jax.grad` to take as it is."""

    def objective(arch):
        slope = jax.grad(lambda w: problem.inner(arch, w)[0])(weights)
        return problem.outer(arch, problem.descend(slope, weights))[0]

    return toy.jit(jax.grad(objective))(arch)


@pytest.mark.parametrize("clip", [0.1, 100.0], ids=["clip at work", "clip idle"])
def test_unrolled_is_the_gradient_of_the_composed_objective(clip):
    problem, arch, weights = toy.smooth(clip=clip)
    exact = composed(problem, arch, weights)
    found = gradient(hypergrad.unrolled(), problem, arch, weights)
    np.testing.assert_allclose(flat(found), flat(exact), rtol=1e-10)
    first = gradient(hypergrad.first_order(), problem, arch, weights)
    assert not np.allclose(flat(first), flat(exact), rtol=1e-2)


def test_every_rule_returns_the_loss_and_aux_of_the_point_it_judges():
    problem, arch, weights = toy.smooth()
    slope = jax.grad(lambda w: problem.inner(arch, w)[0])(weights)
    ahead = problem.descend(slope, weights)
    for rule, point in [
        (hypergrad.first_order(), weights),
        (hypergrad.unrolled(), ahead),
        (hypergrad.finite_difference(), ahead),
        (hypergrad.neumann(1, 0.1), weights),
        (hypergrad.conjugate_gradient(1), weights),
    ]:
        loss, aux = rule.rule(problem)(arch, weights)[0]
        expected, expected_aux = problem.outer(arch, point)
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(aux, expected_aux, rtol=1e-12)


@pytest.mark.parametrize("radius", [1e-3, 0.01, 1.0, 50.0])
def test_finite_difference_is_exact_on_a_quadratic(radius):
    q = toy.quadratic(rate=0.3)
    ahead = q.v - 0.3 * (q.hessian @ flat(q.weights) + np.asarray(q.arch) @ q.mixed)
    found = gradient(hypergrad.finite_difference(radius), q.problem, q.arch, q.weights)
    np.testing.assert_allclose(found, q.direct - 0.3 * q.mixed @ ahead, rtol=1e-9)


def test_finite_difference_errs_with_the_square_of_its_radius():
    problem, arch, weights = toy.smooth()
    exact = flat(composed(problem, arch, weights))
    error = lambda radius: np.abs(
        flat(gradient(hypergrad.finite_difference(radius), problem, arch, weights)) - exact
    ).max()
    assert error(0.01) < 1e-4 * np.abs(exact).max()
    assert error(0.1) / error(0.01) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(
    "rule",
    [
        hypergrad.unrolled(),
        hypergrad.finite_difference(),
        hypergrad.neumann(3, 0.1),
        hypergrad.conjugate_gradient(3),
    ],
    ids=["exact", "finite difference", "neumann", "cg"],
)
def test_the_correction_vanishes_when_the_outer_loss_ignores_the_weights(rule):
    problem, arch, weights = toy.smooth()
    outer = lambda a, w: (jnp.sum(a["first"] ** 2) + jnp.sum(a["second"]), None)
    found = toy.jit(rule.rule(problem._replace(outer=outer)))(arch, weights)[1]
    np.testing.assert_array_equal(found["first"], 2 * arch["first"])
    np.testing.assert_array_equal(found["second"], np.ones(3))


def test_finite_difference_does_not_hide_a_broken_gradient():
    problem, arch, weights = toy.smooth()
    # The value is finite at zero, its derivative is not.
    broken = lambda a, w: (jnp.sum(jnp.sqrt(w["in"] * 0.0)) + jnp.sum(a["first"]), None)
    rule = hypergrad.finite_difference()
    found = gradient(rule, problem._replace(outer=broken), arch, weights)
    assert np.isnan(found["first"]).any()


# The two historical bugs of the finite difference.


def reference_difference(radius=0.01, at_the_look_ahead=False, by_precedence=False):
    """The finite difference written as the paper's code has it, with its bugs on request."""

    def rule(problem):
        def judge(arch, weights):
            slope = jax.grad(lambda w: problem.inner(arch, w)[0])(weights)
            ahead, pull_back = jax.vjp(lambda g: problem.descend(g, weights), slope)
            outer = jax.value_and_grad(problem.outer, argnums=(0, 1), has_aux=True)
            value, (direct, v) = outer(arch, ahead)
            (u,) = pull_back(v)
            r = radius / optax.tree.norm(u)
            centre = ahead if at_the_look_ahead else weights
            moved = lambda sign: jax.grad(
                lambda a: problem.inner(a, optax.tree.add_scale(centre, sign * r, u))[0]
            )(arch)
            divide = (lambda d: d / 2.0 * r) if by_precedence else (lambda d: d / (2.0 * r))
            correction = jax.tree.map(lambda p, n: divide(p - n), moved(1.0), moved(-1.0))
            return value, optax.tree.add(direct, correction)

        return judge

    return hypergrad.Hypergradient(rule)


@pytest.mark.parametrize(
    ("rule", "right"),
    [
        (hypergrad.finite_difference(), True),
        (reference_difference(), True),
        (reference_difference(at_the_look_ahead=True), False),
        (reference_difference(by_precedence=True), False),
    ],
    ids=["ours", "reference", "moves the look-ahead (darts#21)", "divides by 2 times r (ABF#4)"],
)
def test_tells_the_finite_difference_from_its_historical_bugs(rule, right):
    problem, arch, weights = toy.smooth()
    found = flat(gradient(rule, problem, arch, weights))
    exact = flat(composed(problem, arch, weights))
    assert np.allclose(found, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max()) == right


# Implicit gradients on quadratics.


@pytest.mark.parametrize("terms", [0, 1, 4, 30])
def test_neumann_is_its_truncated_series(terms):
    q = toy.quadratic()
    scale = 0.35
    shrink = np.eye(5) - scale * q.hessian
    series = scale * sum(np.linalg.matrix_power(shrink, k) for k in range(terms + 1))
    found = gradient(hypergrad.neumann(terms, scale), q.problem, q.arch, q.weights)
    np.testing.assert_allclose(found, q.direct - q.mixed @ series @ q.v, rtol=1e-10)


def implicit(q, damping=0.0):
    solved = np.linalg.solve(q.hessian + damping * np.eye(5), q.v)
    return q.direct - q.mixed @ solved


@pytest.mark.parametrize(
    ("rule", "damping"),
    [
        (hypergrad.neumann(400, 0.39), 0.0),
        (hypergrad.conjugate_gradient(5), 0.0),
        (hypergrad.conjugate_gradient(5, damping=0.7), 0.7),
        (hypergrad.conjugate_gradient(500), 0.0),
    ],
    ids=["neumann", "cg", "damped cg", "cg beyond its end"],
)
def test_implicit_rules_match_the_closed_form(rule, damping):
    q = toy.quadratic()
    found = gradient(rule, q.problem, q.arch, q.weights)
    np.testing.assert_allclose(found, implicit(q, damping), rtol=1e-9)


def test_neumann_converges_just_below_its_limit_and_not_above():
    q = toy.quadratic()
    limit = 2 / 5.0  # the largest eigenvalue is 5
    error = lambda scale, terms: np.abs(
        gradient(hypergrad.neumann(terms, scale), q.problem, q.arch, q.weights) - implicit(q)
    ).max()
    assert error(0.95 * limit, 300) < 1e-6 * error(0.95 * limit, 0)
    assert error(1.05 * limit, 300) > 1e6 * error(1.05 * limit, 0)


def test_a_conjugate_gradient_cut_short_is_not_yet_there():
    q = toy.quadratic()
    found = gradient(hypergrad.conjugate_gradient(1), q.problem, q.arch, q.weights)
    assert not np.allclose(found, implicit(q), rtol=1e-3)


def test_conjugate_gradient_may_run_on_in_float32():
    with jax.enable_x64(False):
        q = toy.quadratic()
        found = gradient(hypergrad.conjugate_gradient(1000), q.problem, q.arch, q.weights)
    np.testing.assert_allclose(found, implicit(q), rtol=1e-4)


# When a rule is applied.


def active_steps(rule, steps=10):
    return [step for step in range(steps) if rule.active(jnp.array(step))]


def test_after_and_every_say_when_a_rule_is_applied():
    rule = hypergrad.first_order()
    assert rule.active is None
    assert active_steps(hypergrad.after(7, rule)) == [7, 8, 9]
    assert active_steps(hypergrad.every(4, rule)) == [0, 4, 8]
    assert active_steps(hypergrad.every(4, hypergrad.after(3, rule))) == [4, 8]
    assert active_steps(hypergrad.after(5, hypergrad.every(4, rule))) == [8]


def test_after_and_every_leave_the_rule_itself_alone():
    rule = hypergrad.unrolled()
    assert hypergrad.every(2, hypergrad.after(3, rule)).rule is rule.rule


@pytest.mark.parametrize(
    "build",
    [
        lambda: hypergrad.finite_difference(0.0),
        lambda: hypergrad.finite_difference(-1.0),
        lambda: hypergrad.finite_difference(float("nan")),
        lambda: hypergrad.neumann(-1, 0.1),
        lambda: hypergrad.neumann(3, 0.0),
        lambda: hypergrad.conjugate_gradient(0),
        lambda: hypergrad.conjugate_gradient(3, damping=-1.0),
        lambda: hypergrad.after(0, hypergrad.first_order()),
        lambda: hypergrad.every(1, hypergrad.first_order()),
    ],
)
def test_refuses_settings_that_are_impossible_or_without_effect(build):
    with pytest.raises(ValueError, match=r"\d|nan"):
        build()
