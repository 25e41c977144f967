"""ProxylessNAS: one sampled candidate a layer. https://arxiv.org/abs/1812.00332

For a net of `supernet.mixed`, whose mixture is `mixed_layer.mixture(EXECUTES[mode])`.
"""

from typing import Literal

import optax

from jaxnas.core import hypergrad, reinforce, schedules, search
from jaxnas.core.gates import binary
from jaxnas.core.objectives import cost_terms, terms
from jaxnas.core.types import Constraints, Relaxation, Search, Supernet, Term
from jaxnas.methods import entry
from jaxnas.methods.entry import Settings

Mode = Literal["full", "full_v2", "two", "two_unbiased"]
# How a supernet has to compute its candidates for each mode.
EXECUTES = {"full": "all", "full_v2": "recomputed", "two": "two", "two_unbiased": "two"}


def proxyless(
    net: Supernet,
    *,
    epochs: int = 160,
    steps_per_epoch: int,
    warm_up: int = 40,
    mode: Mode = "full_v2",
    learning_rate: float = 0.025,
    warm_up_learning_rate: float = 0.05,
    weight_decay: float = 4e-5,
    smoothing: float = 0.1,
    arch_every: int = 5,
    arch_learning_rate: float = 1e-3,
    constraints: Constraints = (),
    outer_objective: Term | None = None,
) -> Search:
    """Weights of sampled networks, and every `arch_every` steps the gradient of binary gates.

    The first `warm_up` epochs train weights alone, their rate falling to 0 from
    `warm_up_learning_rate`; then from `learning_rate` anew. `full`: every candidate is computed;
    `full_v2`, the default of the paper's code: the sampled one, the others again in the backward
    pass of the architecture; `two`: two sampled candidates learn, the probabilities of the others
    stay; `two_unbiased`: see `binary.two_path`. `outer_objective` is the validation loss in the
    place of the training loss: `cost_terms.mul_log` with `loss=terms.cross_entropy(smoothing)`
    and, but for `two`, `relaxation=relaxation(mode)`, say. Settings as in
    mit-han-lab/proxylessnas search/imagenet_arch_search.py (batch 256). Raises ValueError for
    settings that are impossible.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    # Without momentum: the logits of what was not sampled stay where they are.
    adam = optax.adam(arch_learning_rate, b1=0.0, b2=0.999)
    is_two_path = EXECUTES.get(mode) == "two"
    rate = _rate(learning_rate, warm_up_learning_rate, epochs, warm_up, steps_per_epoch)
    txs = search.Transforms(
        arch_tx=optax.chain(adam, binary.rescale_unsampled()) if is_two_path else adam,
        weight_tx=_sgd(rate, weight_decay),
    )
    return search.bilevel(
        net,
        relaxation(mode),
        terms.cross_entropy(smoothing),
        txs,
        outer_objective=outer_objective,
        constraints=constraints,
        hypergrad=hypergrad.first_order()._replace(active=active),
    )


def proxyless_reinforce(
    net: Supernet,
    *,
    epochs: int = 160,
    steps_per_epoch: int,
    warm_up: int = 40,
    learning_rate: float = 0.025,
    warm_up_learning_rate: float = 0.05,
    weight_decay: float = 4e-5,
    smoothing: float = 0.1,
    arch_every: int = 5,
    arch_learning_rate: float = 1e-3,
    samples: int = 10,
    decay: float = 0.99,
    reward: cost_terms.Reward | None = None,
) -> Search:
    """The same with rewards in place of gradients: accuracy, unless `reward(accuracy, gates)`.

    For a net that computes the sampled candidate alone (`selected`). 10 samples a step and the
    decay of the baseline are from memory of the paper's code. Raises ValueError as `proxyless` and
    `reinforce.reinforce`.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    rate = _rate(learning_rate, warm_up_learning_rate, epochs, warm_up, steps_per_epoch)
    gates = binary.binary()
    tx = search.joint_tx(optax.set_to_zero(), _sgd(rate, weight_decay))
    training = search.single_level(net, gates, terms.cross_entropy(smoothing), tx=tx)
    return reinforce.reinforce(
        training,
        net,
        gates,
        reward or (lambda accuracy, gates: accuracy),
        arch_tx=optax.adam(arch_learning_rate, b1=0.0, b2=0.999),
        samples=samples,
        decay=decay,
        active=active,
    )


def relaxation(mode: Mode) -> Relaxation:
    """The relaxation of a mode. Raises ValueError for an unknown one."""
    _check_mode(mode)
    if mode in ("full", "full_v2"):
        return binary.binary()
    return binary.two_path(unbiased=mode == "two_unbiased")


def _check_mode(mode: str) -> None:
    if mode not in EXECUTES:
        raise ValueError(f"ProxylessNAS has the modes {', '.join(EXECUTES)}, not {mode!r}.")


def _rate(
    rate: float, warm_up_rate: float, epochs: int, warm_up: int, steps_per_epoch: int
) -> optax.Schedule:
    cosine = lambda start, epochs: schedules.cosine_by_epoch(
        start, 0, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    after = cosine(rate, epochs - warm_up)
    if not warm_up:
        return after
    before = cosine(warm_up_rate, warm_up)
    return optax.join_schedules([before, after], [warm_up * steps_per_epoch])


def _sgd(rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=0.9, nesterov=True)
    )


def _net(settings: Settings) -> Settings:
    _check_mode(settings["mode"])
    return {"execute": EXECUTES[settings["mode"]]}


METHOD = entry.single_stage(
    "ProxylessNAS: binary gates, one candidate a layer",
    proxyless,
    quick=entry.QUICK_SAMPLED,
    net=_net,
    needs={"binary_gates"},
)
REINFORCE = entry.single_stage(
    "ProxylessNAS: drawn candidates, by their rewards",
    proxyless_reinforce,
    quick=entry.QUICK_SAMPLED,
    net={"execute": "selected"},
    needs={"sampled_layers"},
)
