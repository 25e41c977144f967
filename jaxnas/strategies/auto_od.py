"""AutoOD's controller: an LSTM with Gaussian weights, curious and imitating itself.

Li et al. 2021, https://arxiv.org/abs/2006.11321 (from memory).
"""

from jaxnas.strategies.controller import Additions, PolicyTraining, controller
from jaxnas.strategies.controllers.curious import curious
from jaxnas.strategies.controllers.recall import imitating
from jaxnas.strategies.controllers.recurrent import recurrent
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import Strategy


def auto_od(
    space: DesignSpace,
    goals: Goals,
    *,
    learning_rate: float = 3e-3,
    hidden: int = 64,
    curiosity: float = 0.1,
    imitation: float = 0.5,
    buffer: int = 10,
    batch: int = 10,
) -> Strategy:
    """`curiosity` weighs the information gain, `imitation` the loss on the `buffer` best designs.

    May ask for known designs. Settings are our choice.
    """
    of_weights = curious(recurrent(space.cardinalities, hidden).policy)
    recall = imitating(of_weights.policy, buffer, imitation) if imitation else None
    additions = Additions(recall, of_weights.bonus if curiosity else None, curiosity)
    return controller(
        space, goals, of_weights.policy, PolicyTraining(learning_rate, batch), additions
    )
