"""Constraints as terms: the weight that adapts, the forms whose weight is fixed, and rewards."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, cost_terms, terms
from jaxnas.core.types import Batch, Constraint, CostModel, FixedWeight, Forward
from jaxnas.methods import darts, dr_nas, entry, gdas, pc_darts
from tests import toy


def model(of_gates):
    return CostModel("ms", None, of_gates, (0.0, 100.0))


def of_gates(gates):
    return jnp.sum(jnp.array([1.0, 4.0]) * gates["a"])


def constraint(limit=2.0, form=None):
    return Constraint(model(of_gates), limit, form=form and FixedWeight(form, 0.5))


def forward(arch):
    nothing = jnp.zeros((1, 2))
    return Forward(Batch(nothing, nothing), nothing, {}, {}, jnp.int32(0), arch)


def test_the_lagrangian_is_its_formula():
    term = constraints.lagrangian(constraint(), relax.softmax(), width=0.1, start=3.0)
    arch = {"a": jnp.array([[0.3, -0.2]])}
    share = 1 / (1 + math.exp(-0.5))
    excess = math.log((share + 4 * (1 - share)) / 2)
    value = term.value(term.init(arch, {}), forward(arch))
    assert float(value) == pytest.approx(3 * 0.1 * math.log1p(math.exp(excess / 0.1)), rel=1e-5)


def test_the_slope_far_above_is_the_weight_and_far_below_nothing():
    def slope(limit):
        term = constraints.lagrangian(constraint(limit), relax.softmax(), start=2.0)
        value = lambda logit: term.value(
            constraints.Multiplier(jnp.float32(2.0), {}), forward({"a": jnp.array([[0.0, logit]])})
        )
        expected = lambda logit: jnp.log(1 + 3 * jax.nn.sigmoid(logit))
        return float(jax.grad(value)(0.4) / jax.grad(expected)(0.4))

    assert slope(0.5) == pytest.approx(2.0, rel=1e-4)
    assert slope(20.0) == pytest.approx(0.0, abs=1e-4)


def test_the_weight_grows_above_the_target_falls_below_it_and_rests_with_the_architecture():
    term = constraints.lagrangian(constraint(), relax.softmax(), rate=0.1)
    start, slow, fast = ({"a": jnp.array([[0.0, x]])} for x in (0.0, 5.0, -5.0))
    memory = term.init(start, {})
    assert term.update(memory, start, {}, 0).weight == 1.0
    up = term.update(memory, slow, {}, 0)
    expected = float(jnp.sum(jnp.array([1.0, 4.0]) * jax.nn.softmax(slow["a"])))
    assert float(up.weight) == pytest.approx((expected / 2) ** 0.1, rel=1e-5)
    assert term.update(up, fast, {}, 0).weight < up.weight
    for _ in range(300):
        memory = term.update(memory, slow, {}, 0)._replace(arch=start)
    assert memory.weight == pytest.approx(1e3)


def test_dual_ascent_ends_at_the_target():
    """A loss that always wants the slow candidate more meets a weight that keeps growing."""
    term = constraints.lagrangian(constraint(), relax.softmax(), rate=0.2)
    expected = lambda arch: of_gates(jax.tree.map(jax.nn.softmax, arch))

    def step(carry, _):
        arch, memory = carry
        loss = lambda arch: term.value(memory, forward(arch)) - 2 * arch["a"][0, 1]
        arch = jax.tree.map(lambda a, g: a - 0.05 * g, arch, jax.grad(loss)(arch))
        return (arch, term.update(memory, arch, {}, 0)), expected(arch)

    arch = {"a": jnp.zeros((1, 2))}
    _, seen = toy.jit(
        lambda arch: jax.lax.scan(step, (arch, term.init(arch, {})), None, length=2000)
    )(arch)
    assert float(seen[0]) > 2.4
    assert float(seen[-500:].mean()) == pytest.approx(2.0, rel=0.1)


METHODS = [darts.darts, pc_darts.pc_darts, gdas.gdas, dr_nas.dr_nas]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_a_method_with_a_constraint_moves_towards_the_limit(method):
    net = toy.supernet()
    dear = jnp.array([0.0, 0.0, 1.0, 0.0])
    shares = lambda rows: rows / rows.sum(-1, keepdims=True)
    cost = lambda gates: 1.0 + 100 * jnp.mean(shares(gates["normal"]) @ dear)
    rest = {"warm_up": 0} if method is pc_darts.pc_darts else {}
    train = toy.batches(0, 1)
    settings = entry.nest(method, {"arch_learning_rate": 0.1} | rest)
    constraints_ = [Constraint(model(cost), 2.0)]
    search = method(net, epochs=4, steps_per_epoch=2, constraints=constraints_, **settings)
    state = search.init(jax.random.key(0), train.inputs[0])
    expected = lambda: float(cost(search.gates(state)))
    update, began = toy.jit(search.update), expected()
    for _ in range(8):
        state, metrics = update(state, toy.at(train, 0), toy.at(train, 0))
        assert all(np.isfinite(value) for value in metrics.values())
    # The loss alone moves it by a tenth of that, up or down.
    assert expected() < 0.8 * began
    assert state.memory["outer"]["target"]["ms"].weight > 1


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("add-linear", lambda ms, loss: loss + 0.5 * (ms / 2 - 1)),
        ("one-sided", lambda ms, loss: loss + 0.5 * max(0, ms / 2 - 1)),
        ("absolute", lambda ms, loss: loss + 0.5 * abs(ms / 2 - 1)),
        ("mul-log", lambda ms, loss: loss * 0.2 * (math.log(ms) / math.log(2)) ** 0.5),
        ("fbnet", lambda ms, loss: loss * 0.2 * math.log(ms) ** 0.5),
    ],
)
@pytest.mark.parametrize("logit", [-1.0, 1.0])
def test_a_fixed_weight_enters_the_loss_in_its_published_form(form, expected, logit):
    fixed = constraint(form=form)
    arch = {"a": jnp.array([[0.0, logit]])}
    loss = terms.stateless(lambda f: 3.0)
    objective = constraints.constrained(loss, [fixed], relax.softmax())
    value = objective.value(objective.init(arch, {}), forward(arch))
    share = 1 / (1 + math.exp(-logit))
    assert float(value) == pytest.approx(expected(1 + 3 * share, 3.0), rel=1e-5)


@pytest.mark.parametrize("form", ["mul-log", "fbnet"])
def test_a_logarithm_of_less_than_a_millisecond_is_refused(form):
    fixed = constraint(0.9, form)
    loss = terms.stateless(lambda f: 3.0)
    with pytest.raises(ValueError, match="above 1 ms"):
        constraints.constrained(loss, [fixed], relax.softmax())


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("proxyless", cost_terms.proxyless_reward(lambda g: jnp.float32(6), 3, 0.5)),
        ("mnasnet", cost_terms.mnasnet_reward(lambda g: jnp.float32(6), 3, -0.5)),
        ("tunas", cost_terms.tunas_reward(lambda g: jnp.float32(6), 3, -0.5)),
    ],
)
def test_a_reward_is_the_published_one(form, expected):
    twice = Constraint(model(lambda gates: jnp.float32(6)), 3.0, form=FixedWeight(form, 0.5))
    reward = constraints.reward([twice])
    assert float(reward(0.8, {})) == float(expected(0.8, {})) != 0.8
    assert constraints.reward([twice._replace(form=None)]) is None
    with pytest.raises(ValueError, match="stands alone"):
        constraints.reward([twice, twice._replace(form=None)])


def test_a_fixed_form_stands_beside_a_limit_that_is_held():
    both = [constraint(form="add-linear"), constraint()]
    arch = {"a": jnp.array([[0.0, 1.0]])}
    loss = terms.stateless(lambda f: 3.0)
    parts = [
        constraints.constrained(loss, some, relax.softmax()) for some in (both, both[:1], both[1:])
    ]
    whole, fixed, held = (p.value(p.init(arch, {}), forward(arch)) for p in parts)
    assert float(whole) == pytest.approx(float(fixed + held - 3.0), rel=1e-6)
    with pytest.raises(ValueError, match="there are add-linear, one-sided"):
        constraints.constrained(loss, [constraint(form="linear")], relax.softmax())


def test_without_constraints_the_objective_is_itself():
    loss = terms.cross_entropy()
    assert constraints.constrained(loss, (), relax.softmax()) is loss


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        constraints.lagrangian(constraint(0.0), relax.softmax())


def test_a_risk_keeps_the_margin_below_the_limit():
    careful = Constraint(model(of_gates)._replace(margin=0.25), 2.0, risk=2.0)
    assert careful.aim == pytest.approx(2.0 / 1.5)
    term = constraints.lagrangian(careful, relax.softmax())
    memory = term.init({"a": jnp.zeros((1, 2))}, {})
    # Between the aim and the limit the weight grows.
    arch = {"a": jnp.array([[0.0, -1.0]])}
    assert careful.aim < float(of_gates(jax.tree.map(jax.nn.softmax, arch))) < careful.limit
    assert term.update(memory, arch, {}, 0).weight > 1
