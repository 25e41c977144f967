"""Whether a controller's hidden state says what it will draw: distances within and between states.

Adam and Lorraine 2019, https://arxiv.org/abs/1904.00438; the number of different variables stands
for their graph metrics (our choice).
"""

import jax
import numpy as np

from jaxnas.strategies.controllers.policy import Params
from jaxnas.strategies.controllers.recurrent import Recurrent


def distance_ratio(
    policy: Recurrent, params: Params, random: np.random.Generator, states: int, draws: int
) -> float:
    """The mean distance of designs drawn from one hidden state over that between states.

    States are those after `states` designs, each drawn by the policy; `draws` designs are drawn
    from each. 1: the state says nothing. Raises ValueError for fewer than two of either.
    """
    if states < 2 or draws < 2:
        raise ValueError(f"{states} states and {draws} draws have no distances: give 2 or more.")
    noise = lambda n: random.gumbel(size=(n, *policy.policy.noise)).astype(np.float32)
    designs = policy.policy.sample(params, noise(states))
    hidden = jax.tree.map(lambda x: np.repeat(x, draws, 0), policy.read(params, designs))
    drawn = np.asarray(policy.sample_from(params, hidden, noise(states * draws)))
    distances = (drawn[:, None] != drawn[None]).sum(-1)
    state = np.repeat(np.arange(states), draws)
    is_within = state[:, None] == state[None]
    is_pair = ~np.eye(len(drawn), dtype=bool)
    return float(distances[is_within & is_pair].mean() / distances[~is_within].mean())
