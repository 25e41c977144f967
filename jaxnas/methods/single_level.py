"""Single-level search: weights and architecture are trained together on the same batch.

The simplest alternative to bilevel search. The optimisers, those of DARTS, are our choice.
"""

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, clipped_sgd, transforms


def single_level(
    net: Supernet, *, epochs: int = 50, steps_per_epoch: int, optimisers: Optimisers = Optimisers()
) -> Search:
    """DARTS's optimisers on one loss, without a validation half.

    Raises ValueError for an impossible learning rate or length.
    """
    arch_tx = transforms(optimisers, epochs, steps_per_epoch).arch_tx
    weight_tx = clipped_sgd(optimisers, epochs, steps_per_epoch)
    tx = search.joint_tx(arch_tx, weight_tx)
    return search.single_level(net, relax.softmax(), terms.cross_entropy(), tx=tx)


METHOD = entry.single_stage("one loss for weights and architecture", single_level)
