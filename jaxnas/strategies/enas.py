"""ENAS's controller, an LSTM by REINFORCE, whose hidden state must encode past choices.

Pham et al. 2018, https://arxiv.org/abs/1802.03268, and the repair of Adam and Lorraine 2019,
https://arxiv.org/abs/1904.00438. The supernet of ENAS is the evaluator: shared weights.
"""

from jaxnas.strategies.controller import Additions, PolicyTraining, controller
from jaxnas.strategies.controllers.recall import replayed
from jaxnas.strategies.controllers.recurrent import recurrent
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import Strategy


def enas(
    space: DesignSpace,
    goals: Goals,
    *,
    learning_rate: float = 3e-3,
    hidden: int = 64,
    entropy: float = 0.0,
    replay: float = 1.0,
    buffer: int = 64,
    batch: int = 10,
) -> Strategy:
    """`replay` weighs the loss on the `buffer` latest designs; 0: ENAS's controller alone.

    May ask for known designs. Settings are our choice.
    """
    policy = recurrent(space.cardinalities, hidden)
    recall = replayed(policy, buffer, replay) if replay else None
    training = PolicyTraining(learning_rate, batch, entropy=entropy)
    return controller(space, goals, policy.policy, training, Additions(recall))
