"""Evaluation without training: scores of networks at their initial weights."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnas import data
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.evaluators.zero_cost import score_networks
from jaxnas.pipelines import retrain
from jaxnas.pipelines.explore import short_training
from jaxnas.pipelines.settings import Recipe
from jaxnas.spaces.search_space import SearchSpace

IMAGES = 64  # of the training part, the same for all networks
DEFAULT = ("naswot",)  # where no goal names a score: the best single one on NAS-Bench-201


def evaluator(
    space: SearchSpace, dataset: data.DataSet, recipe: Recipe, named: Sequence[str]
) -> Evaluator:
    """The scores that are `named`, of the networks of a recipe, on a batch of training images."""
    full = short_training.resolved(space, dataset, recipe)
    count = min(IMAGES, len(dataset.train.labels))
    draw = data.make_batch(dataset.mean, dataset.std, data.augment.none(), count)
    batch = draw(data.to_device(dataset.train), jax.random.key(0), jnp.int32(0))
    wanted = tuple(name for name in named if name in score_networks.SCORES) or DEFAULT

    def network(genotype):
        task = retrain.TrainingTask(space, genotype, full, 0, dataset)
        return retrain.network(task)

    return score_networks.scores_of(network, batch, wanted)
