"""NASNet's controller: an LSTM trained by PPO.

Zoph et al. 2018, https://arxiv.org/abs/1707.07012, appendix A: 20 designs a batch, 4 passes,
learning rate 3.5e-4 over 20,000 designs (from memory). The defaults here are for hundreds.
"""

from jaxnas.strategies.controller import PolicyTraining, controller
from jaxnas.strategies.controllers.recurrent import recurrent
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import Strategy


def nasnet(
    space: DesignSpace,
    goals: Goals,
    *,
    learning_rate: float = 3e-3,
    hidden: int = 64,
    passes: int = 4,
    clip: float = 0.2,
    entropy: float = 0.0,
    batch: int = 10,
) -> Strategy:
    """Designs drawn variable by variable; may ask for known designs. Settings measured here."""
    policy = recurrent(space.cardinalities, hidden).policy
    training = PolicyTraining(learning_rate, batch, entropy=entropy, passes=passes, clip=clip)
    return controller(space, goals, policy, training)
