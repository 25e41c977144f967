"""What `jaxnas narrow` narrows: networks by family, and a narrowing on disk."""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import data, run
from jaxnas.core.types import Network, Stats, Weights
from jaxnas.nets.channel_groups import PrunableNetwork
from jaxnas.pipelines.settings import Recipe
from jaxnas.run import checkpoint
from jaxnas.spaces import pruned_file, pruning, registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import chain_file, sizing
from jaxnas.spaces.mobile import pruning as mobile_pruning
from jaxnas.spaces.mobile.chain import Chain
from jaxnas.strategies import net_adapt

CHAIN, WIDTHS = "chain.json", "narrowed.json"  # of mobile networks, of others
STEPS, WEIGHTS = "steps.json", "narrowed"


class Kind(NamedTuple):
    """How networks of a family are narrowed, counted and written.

    What is left of one is a fixed chain where it is mobile, else the widths of its parts;
    `least(multiple)`: no narrowing to multiples leaves fewer MACs, None where that is not known;
    `widths(left)`: the channels of each part.
    """

    whole: Any
    network: Callable[[Any], Network]
    subject: Callable[[Any], PrunableNetwork]
    macs: Callable[[Any], int]
    least: Callable[[int], Any | None]
    widths: Callable[[Any], Mapping[str, int]]
    file: str
    text: Callable[[Any], str]
    read: Callable[[str], Any]


class Trained(NamedTuple):
    """What is left of a network, with its weights."""

    left: Any
    weights: Weights
    stats: Stats


class Kept(NamedTuple):
    """A narrowing as far as it came."""

    trained: Trained
    steps: list[net_adapt.Step]
    done: bool


def _chain(genotype: Genotype, recipe: Recipe, shape: tuple[int, int, int]) -> Chain:
    """The chain of the network that a resolved recipe trains."""
    name, repeats = sizing.of_genotype(genotype)
    chain = sizing.sized(name, features=recipe.features, repeats=repeats)
    return sizing.for_image(chain, *shape[:2])


def kind_of(genotype: Genotype, recipe: Recipe, found: data.DataSet) -> Kind:
    """How the network that a resolved recipe trains is narrowed."""
    shape, classes = found.train.inputs.shape[1:], len(found.class_names)
    family = registry.family_of(genotype)
    if family == "mobile":
        whole = mobile_pruning.fixed(_chain(genotype, recipe, shape), genotype)
        return Kind(
            whole,
            lambda chain: mobile_pruning.network(chain, classes),
            lambda chain: mobile_pruning.subject(chain, classes),
            lambda chain: mobile_pruning.macs(chain, shape, classes),
            lambda multiple: mobile_pruning.least(whole, multiple),
            lambda chain: {name: part.width for name, part in mobile_pruning.parts(chain).items()},
            CHAIN,
            chain_file.to_json,
            chain_file.from_json,
        )
    named = pruning.named(family, genotype, recipe.features, recipe.cells, recipe.reductions)
    entry = registry.of_genotype(genotype)

    def network(widths):
        return entry.network(
            genotype, features=recipe.features, cells=recipe.cells, classes=classes,
            reductions=recipe.reductions, auxiliary=recipe.auxiliary > 0, widths=widths,
        )  # fmt: skip

    @functools.cache
    def subject(widths):
        image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        return pruning.subject(network, named._replace(widths=widths), image)

    about = pruned_file.PrunedNetwork(genotype, named.widths, recipe.cells, recipe.reductions)
    return Kind(
        named.widths,
        network,
        subject,
        pruning.counter(subject(named.widths), named, shape),
        lambda multiple: _narrowest(subject(named.widths), multiple),
        lambda widths: dict(zip(named.names, widths, strict=True)),
        WIDTHS,
        lambda widths: pruned_file.to_json(about._replace(widths=widths)),
        lambda text: pruned_file.from_json(text).widths,
    )


def _narrowest(subject: PrunableNetwork, multiple: int) -> Any | None:
    return subject.left(
        {name: np.arange(part.width) < multiple for name, part in subject.parts.items()}
    )


def keep(folder: Path, kind: Kind, kept: Kept) -> None:
    """Writes what is left and its weights, then the file that says that all is there."""
    text = kind.text(kept.trained.left)
    name = hashlib.sha256(text.encode()).hexdigest()
    where = folder / WEIGHTS / name[:16]
    # A narrowing that was stopped while it was written is written anew.
    shutil.rmtree(where, ignore_errors=True)
    with checkpoint.open_store(where, name) as store:
        store.save(0, (kept.trained.weights, kept.trained.stats))
    steps = [step._asdict() for step in kept.steps]
    said = {"left": text, "steps": steps, "done": kept.done}
    run.write_text(folder / STEPS, json.dumps(said, indent=1) + "\n")
    for other in (folder / WEIGHTS).iterdir():
        if other != where:
            shutil.rmtree(other)
    if kept.done:
        run.write_text(folder / kind.file, text)


def kept(folder: Path, kind: Kind, found: data.DataSet) -> Kept | None:
    """What `keep` wrote last; None where it wrote nothing."""
    if not (folder / STEPS).exists():
        return None
    try:
        said = json.loads((folder / STEPS).read_text(encoding="utf-8"))
        left = kind.read(said["left"])
        steps = [net_adapt.Step(**step) for step in said["steps"]]
        name, done = hashlib.sha256(said["left"].encode()).hexdigest(), bool(said["done"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise run.RunError(
            f"{folder} holds a damaged narrowing ({error}): delete {STEPS} and `tuned`, and it is "
            "made again."
        ) from error
    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    like = run.init_compiled(kind.network(left).init, jax.random.key(0), image)
    (weights, stats), _ = checkpoint.read(folder / WEIGHTS / name[:16], like, name)
    return Kept(Trained(left, weights, stats), steps, done)
