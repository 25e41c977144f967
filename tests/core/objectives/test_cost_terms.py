"""Terms that judge the architecture, against the papers' numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Batch, Forward


def value(term, arch, relaxation=None):
    gates = relaxation.gates(arch, (), key=None, step=0) if relaxation else {}
    batch = Batch(jnp.zeros((2, 1, 1, 1)), jnp.zeros(2, int))
    return term.value((), Forward(batch, jnp.zeros((2, 3)), gates, {}, 0, arch))


@pytest.mark.parametrize(("candidates", "golden"), [(8, 2.0794415), (7, 1.9459101)])
def test_mean_logsumexp_of_zeros_is_the_log_of_the_candidates(candidates, golden):
    arch = {"normal": jnp.zeros((14, candidates)), "reduce": jnp.zeros((14, candidates))}
    assert value(terms.mean_logsumexp(), arch) == pytest.approx(golden, rel=1e-6)


def test_mean_logsumexp_is_a_mean_over_all_edges_and_its_gradient_a_softmax():
    rng = np.random.default_rng(0)
    arch = {
        "normal": jnp.array(rng.normal(size=(3, 4))),
        "reduce": jnp.array(rng.normal(size=(1, 2))),
    }
    rows = [*arch["normal"], *arch["reduce"]]
    expected = np.mean([np.log(np.exp(row).sum()) for row in rows])
    assert value(terms.mean_logsumexp(), arch) == pytest.approx(expected, rel=1e-6)
    slope = jax.grad(lambda a: value(terms.mean_logsumexp(), a))(arch)
    for name in arch:
        np.testing.assert_allclose(slope[name], jax.nn.softmax(arch[name]) / 4, rtol=1e-5)


def test_zero_one_equals_the_golden_number():
    arch = {"normal": jnp.array([[0.0, 1.0, -2.0]])}
    found = value(terms.zero_one(), arch, relax.sigmoid())
    assert found == pytest.approx(-0.066131494, rel=1e-6)


def test_zero_one_is_least_where_gates_are_decided():
    at = lambda logit: value(terms.zero_one(), {"normal": jnp.full((2, 3), logit)}, relax.sigmoid())
    assert at(0.0) == 0
    assert at(20.0) == pytest.approx(-0.25)
    assert at(-20.0) == pytest.approx(-0.25)


def beta_divergence(a, b):
    """KL(Beta(a, b) || uniform) by numerical integration."""
    log_p = lambda x: (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - special.betaln(a, b)
    return integrate.quad(lambda x: np.exp(log_p(x)) * log_p(x), 0, 1)[0]


@pytest.mark.parametrize("c", [(1.0, 1.0), (2.0, 1.0), (0.5, 3.0)])
def test_the_divergence_equals_the_integral_for_two_candidates(c, x64):
    arch = {"normal": jnp.array([c])}
    found = value(terms.dirichlet_divergence(lambda logits: logits), arch)
    assert found == pytest.approx(beta_divergence(*c), abs=1e-6)


def test_the_divergence_is_summed_over_edges_and_zero_at_logits_of_zero(x64):
    term = terms.dirichlet_divergence(relax.concentration)
    assert value(term, {"normal": jnp.zeros((5, 7))}) == pytest.approx(0, abs=1e-12)
    rows = jnp.array([[1.0, -1.0, 0.3], [0.0, 2.0, -0.5]])
    alone = [float(value(term, {"normal": row[None]})) for row in rows]
    both = value(term, {"normal": rows[:1], "reduce": rows[1:]})
    assert both == pytest.approx(sum(alone), rel=1e-9)
    assert min(alone) > 0.05
