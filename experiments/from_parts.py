"""DARTS from the parts of jaxnas: copy this file and change the part that you study.

python -m experiments.from_parts

Searches a cell on the digits in a minute or two on a CPU, and prints it as JSON: the same as
`genotype.json` of `jaxnas search`, without its command, its folder and its checkpoints.
"""

import functools

import jax
import jax.numpy as jnp
import optax

from jaxnas import data, run
from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.run import step_runner
from jaxnas.spaces import genotype, registry

SPACE, SEED, EPOCHS, BATCH_SIZE, FEATURES, CELLS = "darts", 0, 12, 64, 4, 3


def main(epochs: int = EPOCHS, limit: int | None = None) -> str:
    """The genotype found on the digits (their first `limit` images), as JSON."""
    # Data: half of the training images for the weights, half for the architecture.
    dataset = data.load("digits", limit=limit, train_fraction=0.5)
    train, valid = data.to_device(dataset.train), data.to_device(dataset.valid)
    black = data.augment.black(dataset.mean, dataset.std)
    augment = data.augment.chain(data.augment.pad_crop(1, black))
    batch_of = data.make_batch(dataset.mean, dataset.std, augment, BATCH_SIZE)
    image = dataset.train.inputs.shape[1:]
    steps_per_epoch = data.steps_per_epoch(len(dataset.train.labels), BATCH_SIZE)

    # Space and supernet: `choices` says which candidates each edge of a cell has.
    space = registry.get(SPACE)
    sizes = {"features": FEATURES, "cells": CELLS, "classes": len(dataset.class_names)}
    net = space.supernet(space.choices, **sizes, reductions=None, remat=True)

    # Method: a relaxation, a loss, a hypergradient, optimisers.
    learning_rate = schedules.cosine_by_epoch(
        0.05, 0.002, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    txs = search.Transforms(
        arch_tx=optax.chain(optax.add_decayed_weights(1e-3), optax.adam(0.03, b1=0.5)),
        weight_tx=optax.chain(
            optax.add_decayed_weights(3e-4), optax.sgd(learning_rate, momentum=0.9)
        ),
        clip_tx=optax.clip_by_global_norm(5.0),
    )
    method = search.bilevel(
        net, relax.softmax(), terms.cross_entropy(), txs, hypergrad=hypergrad.first_order()
    )

    # Loop: a state and a compiled step. Random numbers are functions of the state's key and step.
    # With the compiler's options of `jaxnas search` the step computes the same bits.
    @functools.partial(jax.jit, donate_argnums=0, compiler_options=step_runner.compiler_options())
    def update(state, train, valid):
        k_train, k_valid = jax.random.split(jax.random.fold_in(state.key, 2**31 - 1))
        train_batch = batch_of(train, k_train, state.step)
        return method.update(state, train_batch, batch_of(valid, k_valid, state.step))

    state = run.first_state(method.init, jax.random.key(SEED), jnp.zeros((1, *image)))
    for _ in range(epochs):
        for _ in range(steps_per_epoch):
            state, measured = update(state, train, valid)
        accuracy = float(measured["accuracy/valid"])
        print(f"step {int(state.step)}: {accuracy:.0%} of a validation batch right")

    # Result: the strongest candidates of the two strongest edges into each node.
    return genotype.to_json(space.discretise(space.choices, jax.device_get(method.gates(state))))


if __name__ == "__main__":
    print(main())
