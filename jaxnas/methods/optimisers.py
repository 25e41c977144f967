"""The optimisers of DARTS, which most methods keep: Adam for the architecture, SGD for weights."""

import optax


def adam_and_sgd(
    rate: optax.Schedule,
    *,
    weight_decay: float,
    clip_norm: float,
    arch_learning_rate: float,
    arch_weight_decay: float,
    arch_momentum: float = 0.5,
    nesterov: bool = False,
) -> dict[str, optax.GradientTransformation]:
    """`arch_tx`, `weight_tx` and `clip_tx` for `search.bilevel`.

    Both decays are coupled: added to the gradient, before Adam too. quark0/darts
    cnn/train_search.py.
    """
    return {
        "arch_tx": optax.chain(
            optax.add_decayed_weights(arch_weight_decay),
            optax.adam(arch_learning_rate, b1=arch_momentum),
        ),
        "weight_tx": optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.sgd(rate, momentum=0.9, nesterov=nesterov),
        ),
        "clip_tx": optax.clip_by_global_norm(clip_norm),
    }
