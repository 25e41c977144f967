"""FBNet: Gumbel-softmax gates that cool; the best of sampled networks is found.

https://arxiv.org/abs/1812.03443. Settings and the form of the latency are from memory of the paper;
two public ports agree with them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Gates, Search, Space, Supernet, Term
from jaxnas.methods import judging


def fbnet(
    net: Supernet,
    *,
    epochs: int = 90,
    steps_per_epoch: int,
    warm_up: int = 10,
    temperature: float = 5.0,
    cooling: float = 0.956,
    learning_rate: float = 0.1,
    weight_decay: float = 1e-4,
    arch_every: int = 4,
    arch_learning_rate: float = 0.01,
    arch_weight_decay: float = 5e-4,
    penalty: constraints.Penalty | None = None,
    outer_objective: Term | None = None,
) -> Search:
    """Weights learn from training data, logits from validation data, both at relaxed draws.

    One draw a batch, shared by its images: the paper has one an image (from memory), which would
    have every image open all candidates otherwise. The temperature of epoch e is
    `temperature * cooling^e`; logits rest for `warm_up` epochs. The paper's epochs train weights on
    80 % of the data, then logits on 20 %; here a step of the logits follows every `arch_every`
    steps, which with that split is as many. Logits start as 1e-3 times a normal (ours).
    `penalty` is added to the validation loss, `outer_objective` stands in its place:
    `cost_terms.fbnet`, say. Raises ValueError for settings that are impossible, and for both.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    rate = schedules.cosine_by_epoch(
        learning_rate, 0, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    relaxed = relax.gumbel_softmax(
        schedules.per_epoch(schedules.exponential_decay(temperature, cooling), steps_per_epoch)
    )
    loss = terms.cross_entropy()
    return search.bilevel(
        net,
        relaxed,
        loss,
        outer_objective=judging.one_of(outer_objective, constraints.outer(loss, penalty, relaxed)),
        arch_tx=optax.chain(
            optax.add_decayed_weights(arch_weight_decay), optax.adam(arch_learning_rate)
        ),
        weight_tx=optax.chain(
            optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=0.9)
        ),
        hypergrad=hypergrad.first_order()._replace(active=active),
        first="weights",
    )


def best_of_samples(
    space: Space, *, epochs: int = 90, samples: int = 6, seed: int, **settings
) -> Program:
    """`fbnet`, with `settings`; then the most accurate of `samples` draws from softmax(logits).

    All are judged with the shared weights on the validation half; the paper trains each (from
    memory). Equal networks may be drawn twice, ties go to the first. Raises ValueError for no
    samples and no epochs.
    """
    if samples < 1 or epochs < 1:
        raise ValueError(
            f"A search has epochs >= 1 and judges samples >= 1, not {epochs} and {samples}."
        )
    method = functools.partial(fbnet, **settings)

    def stages() -> Program:
        done = yield Stage("search", space, epochs, method)
        drawn = sampled(done.gates, samples, seed)
        accuracy, _ = done.evaluate(drawn)
        best = int(np.argmax(accuracy))
        return Selection(space, jax.tree.map(lambda gates: gates[best], drawn))

    return stages()


def sampled(gates: Gates, samples: int, seed: int) -> Gates:
    """f32[samples, edges, candidates] a choice: one-hot draws, each row's gates its chances."""
    keys = jax.random.split(jax.random.key(seed), len(gates))
    draws = {}
    for key, (name, chances) in zip(keys, sorted(gates.items()), strict=True):
        logs = jnp.log(jnp.asarray(chances))
        chosen = jax.random.categorical(key, logs, shape=(samples, len(chances)))
        draws[name] = jax.nn.one_hot(chosen, chances.shape[-1])
    return draws
