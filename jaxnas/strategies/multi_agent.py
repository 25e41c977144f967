"""Multi-agent controllers: an agent for each group of variables, all with the same reward.

Krishnan et al. 2022, https://arxiv.org/abs/2211.16385 (from memory: a PPO agent a parameter).
Agents that see no state are bandits, so that one agent a variable is `reinforce` by another name.
"""

from jaxnas.strategies.controller import PolicyTraining, controller
from jaxnas.strategies.controllers import grouped
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import Strategy


def multi_agent(
    space: DesignSpace,
    goals: Goals,
    *,
    agents: str = "variables",
    learning_rate: float = 0.1,
    entropy: float = 0.0,
    passes: int = 1,
    batch: int = 10,
) -> Strategy:
    """`agents`: one for each of the `variables`, the `groups`, or `joint`, one for all.

    A group is the variables with the same name up to its first dot: a part of a product, a cell.
    May ask for known designs. Settings are our choice. Raises ValueError for other agents, and for
    a group of too many combinations.
    """
    count, names = len(space.variables), tuple(v.name for v in space.variables)
    groups = {
        "variables": tuple((v,) for v in range(count)),
        "groups": grouped.by_name(names),
        "joint": (tuple(range(count)),),
    }
    if agents not in groups:
        raise ValueError(f"agents is {agents!r}: there are {', '.join(groups)}.")
    policy = grouped.grouped(space.cardinalities, groups[agents])
    training = PolicyTraining(learning_rate, batch, entropy=entropy, passes=passes)
    return controller(space, goals, policy, training)
