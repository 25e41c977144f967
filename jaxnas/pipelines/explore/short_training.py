"""Evaluation by a short training: on the training part, scored on the validation part."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnas import data
from jaxnas.core import metrics
from jaxnas.evaluators import evaluator as evaluators
from jaxnas.evaluators import training
from jaxnas.evaluators.evaluator import Evaluator, Figures
from jaxnas.nets import count
from jaxnas.pipelines import retrain
from jaxnas.pipelines.settings import Recipe
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run.step_runner import chunk_length
from jaxnas.spaces import sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

MAXIMISE: Mapping[str, bool] = {
    "accuracy": True,
    "loss": False,
    "ece": False,
    "parameters": False,
    "macs": False,
}
# The names of the parts of a design that has a recipe as well.
NETWORK, RECIPE = "network", "recipe"


def evaluator(space: SearchSpace, dataset: data.DataSet, recipe: Recipe) -> Evaluator:
    """Validation accuracy and loss, parameters and MACs, of a network that is trained.

    A design is a genotype, or `{"network": genotype, "recipe": {field: value}}`, whose values
    replace those of `recipe`. The seed of an evaluation is that of its weights and batches.
    """
    held_out = dataset._replace(valid=_none_of(dataset.valid), test=dataset.valid)

    def figures(design: Genotype | Mapping[str, Any], seed: int) -> Figures:
        changes: Mapping[str, Any] = {}
        if not isinstance(design, Genotype):
            design, changes = design[NETWORK], design[RECIPE]
        of_design = resolved(space, dataset, dataclasses.replace(recipe, **changes))
        task = retrain.TrainingTask(space, design, of_design, seed, held_out)
        return _trained(task)

    return evaluators.of_function(MAXIMISE, figures)


def check(space: SearchSpace, dataset: data.DataSet, recipe: Recipe) -> None:
    """Raises ValueError for a recipe that cannot train the space's networks on these images."""
    if recipe.batch_size and recipe.batch_size > len(dataset.train.labels):
        fail(
            f"--training.batch-size is {recipe.batch_size} but there are "
            f"{len(dataset.train.labels)} images to train with: take fewer."
        )
    genotype = sampling.random_genotype(space, 0)
    retrain.check(
        retrain.TrainingTask(space, genotype, resolved(space, dataset, recipe), 0, dataset)
    )


def resolved(space: SearchSpace, dataset: data.DataSet, recipe: Recipe) -> Recipe:
    """The recipe with all defaults. Raises ValueError for invalid values."""
    return recipes.resolved(recipe, space, dataset.train.inputs.shape[1:], "training.")


def _none_of(images: data.Images) -> data.Images:
    return images._replace(inputs=images.inputs[:0], labels=images.labels[:0])


def _trained(task: retrain.TrainingTask) -> Figures:
    """Trains the network of a task and scores it on `test`. Raises NonFiniteError."""
    plan, runner, state = retrain.begin(task)
    total = task.recipe.epochs * plan.steps_per_epoch
    step = 0
    while step < total:
        length = chunk_length(step, total, plan.steps_per_epoch, plan.execution.chunk_steps)
        state, done, measured = runner.run(state, length, lambda: False)
        losses = np.asarray(measured["loss/train"])
        if not np.isfinite(losses).all():
            bad = step + int(np.argmin(np.isfinite(losses))) + 1
            raise FloatingPointError(f"loss/train is not finite at step {bad}")
        step += done
    weights, stats = plan.trainer.tested(state), state.stats
    logits = training.predict(plan.net, weights, stats, task.dataset)
    scored = metrics.score(jnp.asarray(logits), jnp.asarray(task.dataset.test.labels))
    size = count.size(plan.net, task.dataset.train.inputs.shape[1:])
    return {
        "accuracy": float(scored.top1),
        "loss": float(scored.loss),
        "ece": float(scored.ece),
        "parameters": float(size.parameters),
        "macs": float(size.macs),
    }
