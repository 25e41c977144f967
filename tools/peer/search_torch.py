"""One step of DARTS's search in eager PyTorch: architecture first, then weights.

Written from the description of quark0/darts cnn/architect.py and cnn/train_search.py, with
the paper's settings (https://arxiv.org/abs/1806.09055).
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Batch(NamedTuple):
    inputs: Tensor  # f32[B, C, H, W]
    labels: Tensor  # i64[B]


class Searcher(NamedTuple):
    """What a step moves: a network, its architecture and their optimisers."""

    network: nn.Module
    twin: nn.Module  # holds the looked-ahead weights of `finite_difference`
    arch: tuple[Tensor, ...]  # leaves beside the network, as in the original
    weight_opt: torch.optim.SGD
    arch_opt: torch.optim.Adam
    clip_norm: float


# Leaves d(outer loss)/d(arch) in the `.grad` of the architecture.
Rule = Callable[[Searcher, Batch, Batch], None]


def searcher(network: nn.Module, arch: tuple[Tensor, ...]) -> Searcher:
    """DARTS's optimisers, at the learning rate of the first epoch, around `network`.

    `arch` holds the logits, of `network.arch_shapes`.
    """
    arch = tuple(leaf.detach().clone().requires_grad_() for leaf in arch)
    for leaf in arch:
        leaf.grad = torch.zeros_like(leaf)  # stays so where no cell uses the leaf
    weight_opt = torch.optim.SGD(network.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    # Adam's `weight_decay` is the coupled one: added to the gradient.
    arch_opt = torch.optim.Adam(arch, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    return Searcher(network, copy.deepcopy(network), arch, weight_opt, arch_opt, 5.0)


def step(state: Searcher, rule: Rule, train: Batch, valid: Batch) -> Tensor:
    """Moves `state` in place and returns the training loss before the weights moved."""
    state.arch_opt.zero_grad(set_to_none=False)
    rule(state, train, valid)
    state.arch_opt.step()
    state.weight_opt.zero_grad()
    value = loss(state.network, state.arch, train)
    value.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), state.clip_norm)
    state.weight_opt.step()
    return value.detach()


def loss(network: nn.Module, arch: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Mean cross-entropy of the batch, in training mode."""
    return functional.cross_entropy(network(batch.inputs, *arch), batch.labels)


def first_order(state: Searcher, train: Batch, valid: Batch) -> None:
    """Weights are constant. As in the original, their gradient is computed and thrown away."""
    loss(state.network, state.arch, valid).backward()


def finite_difference(state: Searcher, train: Batch, valid: Batch) -> None:
    """Five passes: look ahead, judge there, difference two gradients at the weights. Eq. 8.

    The original builds the looked-ahead network anew at every step; keeping one saves the
    peer that time.
    """
    weights = list(state.network.parameters())
    grads = torch.autograd.grad(loss(state.network, state.arch, train), weights)
    with torch.no_grad():
        for ahead, weight in zip(state.twin.parameters(), _descend(state, grads), strict=True):
            ahead.copy_(weight)
    state.twin.zero_grad()
    loss(state.twin, state.arch, valid).backward()
    direction = [ahead.grad for ahead in state.twin.parameters()]
    norm = torch.cat([v.flatten() for v in direction]).norm()
    radius = 0.01 / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    slopes = []
    for scale in (radius, -2 * radius):
        _move(weights, direction, scale)
        slopes.append(_slope(loss(state.network, state.arch, train), state.arch))
    _move(weights, direction, radius)
    for leaf, ahead, behind in zip(state.arch, *slopes, strict=True):
        leaf.grad -= _learning_rate(state) * (ahead - behind) / (2 * radius)


def exact(state: Searcher, train: Batch, valid: Batch) -> None:
    """Autograd twice, through one step of the weight optimiser. Eq. 6 without approximation."""
    names, weights = zip(*state.network.named_parameters(), strict=True)
    inner = loss(state.network, state.arch, train)
    grads = torch.autograd.grad(inner, weights, create_graph=True)
    ahead = dict(zip(names, _descend(state, grads), strict=True))
    logits = torch.func.functional_call(state.network, ahead, (valid.inputs, *state.arch))
    outer = functional.cross_entropy(logits, valid.labels)
    for leaf, slope in zip(state.arch, _slope(outer, state.arch), strict=True):
        leaf.grad += slope


def _descend(state: Searcher, grads) -> list[Tensor]:
    """Weights after one step of SGD with momentum and decay, unclipped as in the original."""
    (group,) = state.weight_opt.param_groups
    ahead = []
    for weight, grad in zip(group["params"], grads, strict=True):
        fixed = weight.detach()
        change = grad + group["weight_decay"] * fixed
        momentum = state.weight_opt.state.get(weight, {}).get("momentum_buffer")
        if momentum is not None:
            change = change + group["momentum"] * momentum
        ahead.append(fixed - group["lr"] * change)
    return ahead


def _slope(value: Tensor, arch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, arch, materialize_grads=True)


def _learning_rate(state: Searcher) -> float:
    return state.weight_opt.param_groups[0]["lr"]


@torch.no_grad()
def _move(weights: list[Tensor], direction: list[Tensor], scale: Tensor) -> None:
    for weight, along in zip(weights, direction, strict=True):
        weight += scale * along
