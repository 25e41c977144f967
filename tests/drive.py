"""Runs a program in memory, and a small search network for any space."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import Batch, SearchState, Supernet
from tests import toy

STEPS_PER_EPOCH = 2
TRAIN, VALID = toy.batches(1, STEPS_PER_EPOCH), toy.batches(2, 2)


class Ran(NamedTuple):
    """What a program asked for, what it was told and what it found."""

    found: Selection
    stages: list[Stage]
    finished: list[StageResult]
    began: list[SearchState]
    traces: int  # of updates


def dense(space, *, features: int = 4, classes: int = 3) -> Supernet:
    """Cells one after the other, of nodes of vectors: `none`, `skip_connect`, else a tanh layer."""
    inputs_of = lambda choice: range(min(target for _, target in choice.edges))

    def names(choice, edge):
        return [n for n in choice.candidates[edge] if n not in ("none", "skip_connect")]

    def init(key, inputs):
        cells = {
            kind: {
                f"edge_{e}": {n: (features, features) for n in names(choice, e)}
                for e in range(len(choice.edges))
            }
            for kind, choice in space.items()
        }
        ends = {"stem": (inputs[0].size, features), "head": (features, classes)}
        return toy.drawn(key, cells | ends), {"passes": jnp.zeros(())}

    def cell(choice, weights, gates, x):
        nodes = {n: x for n in inputs_of(choice)}
        for e, (source, target) in enumerate(choice.edges):
            for column, name in enumerate(choice.candidates[e]):
                if name == "none":
                    continue
                y = nodes[source]
                if name != "skip_connect":
                    y = jnp.tanh(y @ weights[f"edge_{e}"][name])
                nodes[target] = nodes.get(target, 0.0) + gates[e, column] * y
        return sum(nodes[n] for n in set(nodes) - set(inputs_of(choice)))

    def infer(weights, stats, gates, inputs):
        x = inputs.reshape(len(inputs), -1) @ weights["stem"]
        for kind, choice in space.items():
            x = cell(choice, weights[kind], gates[kind], x)
        return x @ weights["head"]

    def apply(weights, stats, gates, inputs):
        return infer(weights, stats, gates, inputs), {"passes": stats["passes"] + 1}

    return Supernet(space, init, apply, infer)


def own(space, weights, name, edge):
    """1 at the weights of one edge of a `dense` network, else 0."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros((1,) * leaf.ndim), weights)
    ones = jax.tree.map(jnp.ones_like, zeros[name][f"edge_{edge}"])
    return {**zeros, name: {**zeros[name], f"edge_{edge}": ones}}


def run(program: Program, make=dense, train: Batch = TRAIN, valid: Batch = VALID) -> Ran:
    """Runs `program` on `make(space, **stage.net)`, two steps an epoch."""
    stages, finished, began, compiled = [], [], [], {}
    traces = []
    done = None
    while True:
        try:
            stage = program.send(done)
        except StopIteration as end:
            return Ran(end.value, stages, finished, began, len(traces))
        assert stage.name not in [s.name for s in stages]
        same = (stage.method, tuple(stage.space.items()), repr(sorted(stage.net.items())))
        if same not in compiled:
            net = make(stage.space, **stage.net)
            search = stage.method(net, epochs=stage.epochs, steps_per_epoch=STEPS_PER_EPOCH)

            def traced(*arguments, update=search.update):
                traces.append(1)
                return update(*arguments)

            # The rest is not compiled as a whole: searches share its operations.
            compiled[same] = net, search.init, search.gates, toy.jit(traced), _judge(net)
        net, init, gates_of, update, judge = compiled[same]
        state = init(jax.random.key(len(stages)), train.inputs[0])
        if stage.begin is not None:
            fresh, state = state, stage.begin(state)
            assert jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(fresh.key))
            assert state.step == 0
            kinds = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
            assert kinds(state) == kinds(fresh)
        began.append(jax.device_get(state._replace(key=())))
        for step in range(stage.epochs * STEPS_PER_EPOCH):
            at = step % STEPS_PER_EPOCH
            state, metrics = update(state, toy.at(train, at), toy.at(valid, at))
            assert all(np.isfinite(value) for value in metrics.values())
        evaluate = functools.partial(judge, state.weights, state.stats, valid)
        batch = lambda i: toy.at(train, i % len(train.labels))
        done = StageResult(state, jax.device_get(gates_of(state)), evaluate, net, batch)
        stages.append(stage)
        finished.append(done)


def _judge(net: Supernet):
    def one(weights, stats, batch, gates):
        logits, _ = net.apply(weights, stats, gates, batch.inputs)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return jnp.mean(jnp.argmax(logits, -1) == batch.labels), loss.mean()

    @toy.jit
    def every(weights, stats, valid, gates):
        judge = jax.vmap(one, (None, None, 0, None))
        judged = jax.vmap(judge, (None, None, None, 0))(weights, stats, valid, gates)
        return tuple(value.mean(1) for value in judged)

    return lambda *arguments: tuple(np.asarray(value) for value in every(*arguments))
