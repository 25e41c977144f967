"""FBNet: Gumbel-softmax gates that cool; the best of sampled networks is selected.

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
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Constraints, Gates, Search, Space, Supernet, Term
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings


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
    constraints: Constraints = (),
    outer_objective: Term | None = None,
) -> Search:
    """Weights learn from training data, logits from validation data, both at relaxed samples.

    One sample a batch, shared by its images: the paper has one an image (from memory). The
    temperature of epoch e is `temperature * cooling^e`; logits are constant for `warm_up` epochs.
    The paper's epochs train weights on
    80 % of the data, then logits on 20 %; here a step of the logits follows every `arch_every`
    steps, which with that split is as many. Logits start as 1e-3 times a normal (ours).
    `outer_objective` is the validation loss in place of cross-entropy, for example
    `cost_terms.fbnet`. Raises ValueError for invalid settings.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    rate = schedules.cosine_by_epoch(
        learning_rate, 0, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    temperatures = schedules.exponential_decay(temperature, cooling)
    decayed = optax.add_decayed_weights
    txs = search.Transforms(
        arch_tx=optax.chain(decayed(arch_weight_decay), optax.adam(arch_learning_rate)),
        weight_tx=optax.chain(decayed(weight_decay), optax.sgd(rate, momentum=0.9)),
    )
    rule = hypergrad.first_order()._replace(active=active)
    return search.bilevel(
        net,
        relax.gumbel_softmax(schedules.per_epoch(temperatures, steps_per_epoch)),
        terms.cross_entropy(),
        txs,
        outer_objective=outer_objective,
        constraints=constraints,
        hypergrad=hypergrad.after_weights(rule),
    )


def best_of_samples(
    space: Space, *, epochs: int = 90, samples: int = 6, seed: int, **settings
) -> Program:
    """`fbnet`, with `settings`; then the most accurate of `samples` by softmax(logits) is selected.

    All are evaluated with the shared weights on the validation half; the paper trains each (from
    memory). Equal networks may be sampled twice, ties go to the first. Raises ValueError for no
    samples and no epochs.
    """
    if samples < 1 or epochs < 1:
        raise ValueError(
            f"A search has epochs >= 1 and judges samples >= 1, not {epochs} and {samples}."
        )
    method = functools.partial(fbnet, **settings)

    def stages() -> Program:
        result = yield Stage("search", space, epochs, method)
        networks = sample(result.gates, samples, seed)
        accuracy, _ = result.evaluate(networks)
        best = int(np.argmax(accuracy))
        return Selection(space, jax.tree.map(lambda gates: gates[best], networks))

    return stages()


def sample(gates: Gates, samples: int, seed: int) -> Gates:
    """f32[samples, edges, candidates] a choice: one-hot samples by the probabilities in `gates`."""
    keys = jax.random.split(jax.random.key(seed), len(gates))
    samples_of = {}
    for key, (name, probabilities) in zip(keys, sorted(gates.items()), strict=True):
        logs = jnp.log(jnp.asarray(probabilities))
        indices = jax.random.categorical(key, logs, shape=(samples, len(probabilities)))
        samples_of[name] = jax.nn.one_hot(indices, probabilities.shape[-1])
    return samples_of


def _program(context: Context, settings: Settings) -> Program:
    of_run = {"seed": context.seed, "constraints": context.constraints}
    return best_of_samples(context.space.choices, **of_run, **settings)


METHOD = entry.Method(
    "FBNet: Gumbel-softmax that cools, the best of sampled networks",
    _program,
    entry.defaults(fbnet, best_of_samples),
    # At the others' rate a short search leaves the gates even (docs/results.md).
    quick=entry.QUICK_SAMPLED | {"cooling": 0.7, "arch_learning_rate": 0.2},
    needs={"sampled_layers"},
    accepts={"constraints"},
)
