"""Programs to compile and time: named functions of networks, cells and operations."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Network
from jaxnas.nets import lowering
from jaxnas.spaces import dataflow, registry
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

NETWORK, BLOCK, OPERATOR, REFERENCE = "network", "block", "operator", "reference"
KINDS = (NETWORK, BLOCK, OPERATOR, REFERENCE)


class Program(NamedTuple):
    """A function with its arguments: weights first, so that none becomes a constant; images last.

    Leaves of `arguments` are arrays, or `jax.ShapeDtypeStruct`s to which `filled` gives values.
    """

    label: str  # its unique name in the table
    kind: str  # one of KINDS
    architecture: str  # JSON
    function: Callable[..., Any]
    arguments: tuple
    twin_of: str | None = None  # the label of a program that computes the same


def network(
    label: str,
    net: Network,
    architecture: str,
    image: tuple[int, int, int],
    batch: int = 1,
    twin_of: str | None = None,
) -> Program:
    """Inference of a network; statistics are arguments, as the weights are.

    Raises ValueError for an image that the network cannot take.
    """
    images = images_of(batch, *image)
    weights, stats = jax.eval_shape(net.init, _key(), images)
    return Program(label, NETWORK, architecture, net.infer, (weights, stats, images), twin_of)


def label(genotype: Genotype) -> str:
    """The space's notation of a genotype, or the space's name with a digest of the genotype."""
    space = registry.find(genotype)
    if space is not None and space.label is not None:
        return space.label(genotype)
    text = genotypes.to_json(genotype)
    return f"{genotype.space}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def of_genotype(
    genotype: Genotype, space: SearchSpace, size: NetworkSize, twin_of: str | None = None
) -> Program:
    """The network of a genotype without dead edges; label and architecture are the full genotype's.

    Raises ValueError where the space cannot build the network.
    """
    net = space.network(
        dataflow.remove_dead_edges(genotype),
        features=size.features,
        cells=size.cells,
        classes=size.classes,
        reductions=None,
        auxiliary=False,
    )
    text = genotypes.compact(genotype)
    return network(label(genotype), net, text, size.image, size.batch, twin_of)


def replicate(program: Program) -> Program:
    """The same program under another label, compiled and measured again: its own twin."""
    new_label = f"{program.label} (again)"
    return program._replace(label=new_label, twin_of=program.twin_of or program.label)


def operators(space: SearchSpace, size: NetworkSize) -> list[Program]:
    """Each candidate operation of a space alone, at each layer's shape; equal ones once.

    Raises ValueError for images of a size that the space cannot use.
    """
    by_label = {}
    for layer in space.layers(size):
        if layer.label not in by_label:
            x = images_of(size.batch, layer.height, layer.width, layer.inputs)
            by_label[layer.label] = module_alone(
                layer.label, OPERATOR, layer.record, layer.module, x
            )
    return list(by_label.values())


def blocks(chosen: Iterable[Genotype], space: SearchSpace, size: NetworkSize) -> list[Program]:
    """The cells of genotypes alone, without dead edges: see `SearchSpace.blocks`."""
    block_programs = []
    for genotype in chosen:
        for block in space.blocks(genotype, size):
            record = {"format": "jaxnas block", "cell": block.record["cell"]}
            record |= {"genotype": json.loads(genotypes.to_json(genotype))} | dict(block.record)
            images = [images_of(size.batch, *image) for image in block.inputs]
            title = f"{label(genotype)} {block.label}"
            block_programs.append(
                module_alone(title, BLOCK, record, block.module, *images, arguments=block.arguments)
            )
    return block_programs


def reference() -> Program:
    """The reference program of every campaign, by which campaigns can be compared.

    Four 3x3 convolutions of 32 channels over 16x16 pixels (our choice).
    """
    kernels = tuple(jax.ShapeDtypeStruct((3, 3, 32, 32), jnp.float32) for _ in range(4))

    def function(kernels, x):
        for kernel in kernels:
            x = lowering.convolution(jax.nn.relu(x), kernel)
        return x

    record = json.dumps({"format": "jaxnas reference", "version": 1})
    return Program("reference", REFERENCE, record, function, (kernels, images_of(1, 16, 16, 32)))


def filled(tree: Any, seed: int = 0) -> Any:
    """Values for the shapes of a tree, none subnormal, since those slow CPUs down.

    Arrays of two dimensions and more are normal with standard deviation 1 / sqrt(fan in), vectors
    and scalars are 1, integers 0. Equal shapes at equal paths get equal values.
    """

    def value(path, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        if len(leaf.shape) < 2:
            return jnp.ones(leaf.shape, leaf.dtype)
        place = zlib.crc32(jax.tree_util.keystr(path).encode())
        random = np.random.default_rng([seed, place])
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        drawn = random.standard_normal(leaf.shape, np.float32) / np.sqrt(fan_in)
        return jnp.asarray(drawn, leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, tree)


def counted(kinds: Sequence[str], is_twin: Sequence[bool]) -> tuple[int, str]:
    """(number, noun) of what programs are measured for, without twins and the reference.

    The noun is `networks`, or `programs` where other kinds are among them.
    """
    wanted = [k for k, twin in zip(kinds, is_twin, strict=True) if k != REFERENCE and not twin]
    only_networks = bool(wanted) and set(wanted) == {NETWORK}
    noun = "network" if only_networks else "program"
    return len(wanted), noun + "s" * (len(wanted) != 1)


def extra_words(kinds: Sequence[str], is_twin: Sequence[bool]) -> str:
    """What is measured beside them, in words: empty without twins and reference."""
    twins, references = sum(is_twin), list(kinds).count(REFERENCE)
    parts = []
    if twins:
        parts.append(f"{twins} of them twice (twins, whose differences are the noise)")
    if references:
        parts.append("the reference")
    return "".join(f", {part}" for part in parts)


def check_programs(programs: Sequence[Program]) -> None:
    """Raises ValueError for no programs, duplicate labels, unknown kinds and missing twins."""
    if not programs:
        raise ValueError("There is nothing to measure: give at least one program.")
    labels = [p.label for p in programs]
    duplicates = [name for name in labels if labels.count(name) > 1]
    if duplicates:
        raise ValueError(f"Two programs are called {duplicates[0]!r}: give each a name of its own.")
    for p in programs:
        if p.kind not in KINDS:
            raise ValueError(f"{p.label!r} is of kind {p.kind!r}: take one of {', '.join(KINDS)}.")
        if p.twin_of is not None and (p.twin_of not in labels or p.twin_of == p.label):
            raise ValueError(
                f"{p.label!r} is the twin of {p.twin_of!r}, which is not among the other programs."
            )


def module_alone(
    title: str, kind: str, record: Any, module: Any, *images: Any, arguments: tuple = ()
) -> Program:
    """A Linen `module` alone, as a program of its variables and images."""
    variables = jax.eval_shape(lambda key, *x: module.init(key, *x, *arguments), _key(), *images)

    def function(variables, images):
        return module.apply(variables, *images, *arguments)

    text = json.dumps(record, separators=(",", ":"))
    return Program(title, kind, text, function, (variables, images))


def images_of(batch: int, height: int, width: int, channels: int) -> jax.ShapeDtypeStruct:
    """f32[B, H, W, C]. Raises ValueError for a number below 1."""
    if min(batch, height, width, channels) < 1:
        raise ValueError(
            f"{batch} images of {height}x{width}x{channels} are nothing to measure: give whole "
            "numbers of 1 or more."
        )
    return jax.ShapeDtypeStruct((batch, height, width, channels), jnp.float32)


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))
