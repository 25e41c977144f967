"""Every method of the registry on the toy supernet: what tests hold all of them to."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core import hypergrad
from jaxnas.core.types import AUXILIARY_SKIP, Hypergradient, Search, Supernet
from jaxnas.methods import registry
from jaxnas.methods.entry import Context
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces import registry as spaces
from jaxnas.spaces.mobile import superkernel_latency, zoo
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.search_space import Edits, SearchSpace
from tests import mobile_toys, toy

STEPS_PER_EPOCH = 2


class Case(NamedTuple):
    """A method with settings of its own."""

    method: str
    words: tuple[str, ...] = ()
    flags: dict[str, float] = {}
    hypergrad: Hypergradient | None = None


# Given to each method that has such a setting: the architecture moves within a few steps.
FAST = {"warm_up": 1, "rest": 1, "arch_every": 1}
# Gates are sampled, and move so fast that some sample turns out otherwise within a few steps.
SAMPLED = {"arch_learning_rate": 1.0}
# At this ratio they neither stop nor go back, which validation data would decide.
NEVER = ("window=1", "delay=1", "start=0", "ratio=1e9")
# Methods whose settings do not fit the toy.
SETTINGS = {
    "gdas": Case("gdas", flags=SAMPLED),
    "dr-nas-progressive": Case("dr-nas-progressive", ("keep=2",)),
    "smooth-darts": Case("smooth-darts", ("attack_steps=2",)),
    "p-darts": Case("p-darts", ("keep=3,2",)),
    "r-darts": Case("r-darts", NEVER),
    "r-darts-adaptive": Case("r-darts-adaptive", NEVER),
    "proxyless": Case("proxyless", flags=SAMPLED),
    "proxyless-reinforce": Case("proxyless-reinforce", ("samples=3",), SAMPLED),
    "fbnet": Case("fbnet", flags=SAMPLED),
    "single-path": Case(
        "single-path",
        ("table=toy.csv", "fixed_ms=1", "warmup=0.2"),
        {"learning_rate": 0.01, "arch_learning_rate": 0.01},
    ),
}
VARIANTS = {
    "darts exact": Case("darts", hypergrad=hypergrad.unrolled()),
    "darts finite difference": Case("darts", hypergrad=hypergrad.finite_difference()),
    "darts resting": Case(
        "darts", hypergrad=hypergrad.after(1, hypergrad.every(2, hypergrad.first_order()))
    ),
    "dr-nas kl": Case("dr-nas", ("regulariser=kl",)),
    "smooth-darts random": Case("smooth-darts", ("attack=random",)),
    "proxyless two": Case("proxyless", ("mode=two",), SAMPLED),
}
CASES = {name: SETTINGS.get(name, Case(name)) for name in registry.names()} | VARIANTS


def search(name: str, net: Supernet, arch_learning_rate: float | None = None) -> Search:
    """The first stage of a case on `net`, or on the network that the stage asks for."""
    case = CASES[name]
    defaults = registry.get(case.method).defaults
    flags = {"epochs": 12}
    for flag in ("learning_rate", "arch_learning_rate"):
        flags[flag] = case.flags.get(flag, defaults.get(flag))
    if arch_learning_rate is not None and "arch_learning_rate" in defaults:
        flags["arch_learning_rate"] = arch_learning_rate
    words = [f"{key}={value}" for key, value in FAST.items() if key in defaults]
    settings = registry.resolve(case.method, "quick", flags, [*words, *case.words])
    context = Context(
        space(), STEPS_PER_EPOCH, seed=0, hypergrad=case.hypergrad, layer_times=lambda file: {}
    )
    stage = next(registry.program(case.method, context, settings))
    made = stage.method(_net(stage, net), epochs=stage.epochs, steps_per_epoch=STEPS_PER_EPOCH)
    if stage.begin is None:
        return made
    return made._replace(init=lambda key, inputs: stage.begin(made.init(key, inputs)))


def space() -> SearchSpace:
    """The toy's, which supports all that any method needs."""
    net, chain = toy.supernet(), _superkernel_net()
    times = superkernel_latency.Times(1.0, 2.0, 1.5, 3.0)
    costs = superkernel_latency.costs(chain.space, dict.fromkeys(range(3), times))
    return spaces.get("nasbench201")._replace(
        name="toy",
        choices=net.space,
        supports=frozenset().union(*(method.needs for method in registry.METHODS.values())),
        edits=Edits(
            auxiliary_skip={},
            skip_dropout=lambda rate: {},
            widen=lambda old_space, new_space, old, new, seed: new,
            edge_mask=lambda space, weights, name, edge: jax.tree.map(jnp.zeros_like, weights),
        ),
        superkernel=spaces.get("mobile-single-path").superkernel._replace(
            layer_costs=lambda times: costs
        ),
    )


def with_auxiliary(net: Supernet) -> Supernet:
    """`net` whose every edge has an auxiliary skip, which acts as the identity it has."""
    column = {"normal": 1, "reduce": 0}

    def split(gates):
        return {n: g[:, :-1].at[:, column[n]].add(g[:, -1]) for n, g in gates.items()}

    return Supernet(
        spaces_choices.with_auxiliary_skip(net.space),
        net.init,
        lambda w, s, gates, x: net.apply(w, s, split(gates), x),
        lambda w, s, gates, x: net.infer(w, s, split(gates), x),
    )


def _net(stage, net: Supernet) -> Supernet:
    if stage.net.get("superkernel"):
        return _superkernel_net()
    if any(AUXILIARY_SKIP in choice.candidates[0] for choice in stage.space.values()):
        return with_auxiliary(net)
    return net


def _superkernel_net() -> Supernet:
    """One layer of superkernels."""
    chain = mobile_toys.one_layer(*zoo.SINGLE_PATH[:-1])
    return mobile_supernet.single_path(chain, classes=3)
