"""SNAS: sampled, relaxed gates on a single level. https://arxiv.org/abs/1812.09926"""

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def snas(
    net: Supernet,
    *,
    epochs: int = 150,
    steps_per_epoch: int,
    temperature: float = 1.0,
    min_temperature: float = 0.03,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """Weights and architecture learn from the same batch; the temperature falls in a line.

    Settings as in SNAS-Series/SNAS-Series SNAS/train_search.py (logits start at 1, deviation
    0.01; Adam for the architecture as in its distributed runs). Differs from it: one sample for
    all cells of a type, no path is dropped (0.3 there), no cost of resources in the loss.
    Raises ValueError for an impossible learning rate, temperature or length.
    """
    cooling = schedules.linear_decay(temperature, min_temperature, epochs)
    txs = transforms(optimisers, epochs, steps_per_epoch)
    return search.single_level(
        net,
        relax.gumbel_softmax(schedules.per_epoch(cooling, steps_per_epoch), mean=1.0, scale=0.01),
        terms.cross_entropy(),
        tx=search.joint_tx(txs.arch_tx, txs.clipped),
    )


METHOD = entry.single_stage("SNAS: Gumbel-softmax, one loss", snas)
