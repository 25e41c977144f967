"""SNAS: drawn, relaxed gates on a single level. https://arxiv.org/abs/1812.09926"""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def snas(
    net: Supernet,
    *,
    epochs: int = 150,
    steps_per_epoch: int,
    temperature: float = 1.0,
    min_temperature: float = 0.03,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """Weights and architecture learn from the same batch; the temperature falls in a line.

    Settings as in SNAS-Series/SNAS-Series SNAS/train_search.py (logits start at 1, deviation
    0.01; Adam for the architecture as in its distributed runs). Differs from it: one draw for
    all cells of a type, no path is dropped (0.3 there), no cost of resources in the loss.
    Raises ValueError for an impossible learning rate, temperature or length.
    """
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    cooling = schedules.linear_decay(temperature, min_temperature, epochs)
    txs = optimisers.adam_and_sgd(
        rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        arch_learning_rate=arch_learning_rate,
        arch_weight_decay=arch_weight_decay,
    )
    return search.single_level(
        net,
        relax.gumbel_softmax(schedules.per_epoch(cooling, steps_per_epoch), mean=1.0, scale=0.01),
        terms.cross_entropy(),
        tx=search.joint_tx(txs["arch_tx"], optax.chain(txs["clip_tx"], txs["weight_tx"])),
    )
