"""PC-DARTS: partial channel connections. https://arxiv.org/abs/1907.05737"""

from jaxnas.core import hypergrad as hypergradients
from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraints, Hypergradient, Relaxation, Search, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms

PARTIAL = 4  # of the supernet, which computes the first quarter of the channels


def pc_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    constraints: Constraints = (),
    warm_up: int = 15,
    optimisers: Optimisers = Optimisers(
        learning_rate=0.1, min_learning_rate=0.0, arch_learning_rate=6e-4
    ),
) -> Search:
    """DARTS with normalised edges, on a supernet made with `partial=4`.

    First order by default. The architecture is constant for the first `warm_up` epochs.
    Settings as in yuhuixu1993/PC-DARTS train_search.py (CIFAR-10, batches of 256). Raises
    ValueError for an impossible learning rate or length, and for a warm-up that leaves no epoch.
    """
    schedules.check_warm_up(warm_up, epochs)
    rule = hypergrad or hypergradients.first_order()
    return search.bilevel(
        net,
        edge_normalised(net.space),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        constraints=constraints,
        hypergrad=hypergradients.after(warm_up * steps_per_epoch, rule) if warm_up else rule,
    )


def edge_normalised(space: Space) -> Relaxation:
    """Softmax gates times the weight of their edge."""
    return relax.edge_normalised(space, relax.softmax())


METHOD = entry.single_stage(
    "PC-DARTS: partial channels, normalised edges",
    pc_darts,
    quick={"warm_up": 4, "partial": 2},
    net={"partial": PARTIAL},
    needs={"partial"},
    relaxation=edge_normalised,
)
