"""REINFORCE: a softmax for each variable, moved by rewards.

Williams 1992, https://doi.org/10.1007/BF00992696; as the baseline of NAS-Bench-201,
https://arxiv.org/abs/2001.00326, section 4.
"""

from jaxnas.strategies.controller import PolicyTraining, controller
from jaxnas.strategies.controllers.factorised import factorised
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import Strategy


def reinforce(
    space: DesignSpace,
    goals: Goals,
    *,
    learning_rate: float = 0.1,
    decay: float = 0.9,
    entropy: float = 0.0,
    batch: int = 10,
) -> Strategy:
    """Designs of independent softmaxes; may ask for known designs. Settings measured here."""
    training = PolicyTraining(learning_rate, batch, decay, entropy)
    return controller(space, goals, factorised(space.cardinalities), training)
