"""What is compiled and timed: named programs of networks, cells and operations."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Network
from jaxnas.nets import batch_norm, lowering, mixed_edges
from jaxnas.spaces import dataflow, registry
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.choices import NONE
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.nasbench201 import network as nasbench201_network

NETWORK, BLOCK, OPERATOR, REFERENCE = "network", "block", "operator", "reference"
KINDS = (NETWORK, BLOCK, OPERATOR, REFERENCE)


class Program(NamedTuple):
    """`function(*arguments)`: weights first, so that none becomes a constant; images last.

    Leaves of `arguments` are arrays, or `jax.ShapeDtypeStruct`s that `filled` gives values.
    """

    label: str  # its name in the table, unlike all others
    kind: str  # one of KINDS
    architecture: str  # JSON
    function: Callable[..., Any]
    arguments: tuple
    twin_of: str | None = None  # the label of a program that computes the same


class NetworkSize(NamedTuple):
    """The networks' common settings."""

    features: int = 16
    cells: int = 1  # NAS-Bench-201: a stage
    classes: int = 10
    image: tuple[int, int, int] = (32, 32, 3)  # height, width, channels
    batch: int = 1


def network(
    label: str,
    net: Network,
    architecture: str,
    image: tuple[int, int, int],
    batch: int = 1,
    twin_of: str | None = None,
) -> Program:
    """Inference of a network: statistics are arguments, as the weights are.

    Raises ValueError for an image that the network refuses.
    """
    images = images_of(batch, *image)
    weights, stats = jax.eval_shape(net.init, _key(), images)
    return Program(label, NETWORK, architecture, net.infer, (weights, stats, images), twin_of)


def label(genotype: Genotype) -> str:
    """NAS-Bench-201's own string, or the space's name with a digest of the genotype."""
    if genotype.space == "nasbench201":
        return genotypes.to_nasbench201(genotype)
    text = genotypes.to_json(genotype)
    return f"{genotype.space}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def compact(genotype: Genotype) -> str:
    """The genotype's JSON in one line."""
    return json.dumps(json.loads(genotypes.to_json(genotype)), separators=(",", ":"))


def of_genotype(
    genotype: Genotype, entry: registry.Entry, size: NetworkSize, twin_of: str | None = None
) -> Program:
    """The pruned network of a genotype; label and architecture are those of the whole one.

    Raises ValueError where the space makes no such network.
    """
    net = entry.network(
        dataflow.remove_dead_edges(genotype),
        features=size.features,
        cells=size.cells,
        classes=size.classes,
        reductions=None,
        auxiliary=False,
    )
    return network(label(genotype), net, compact(genotype), size.image, size.batch, twin_of)


def again(program: Program) -> Program:
    """The same program, compiled and measured a second time: a twin of any network."""
    name = f"{program.label} (again)"
    return program._replace(label=name, twin_of=program.twin_of or program.label)


def operators(name: str, size: NetworkSize) -> list[Program]:
    """Each operation of a space alone, at each size that its networks have it at.

    Stage s has `features * 2**s` channels and sides divided by `2**s`; in DARTS's spaces each
    operation also halves the image on its way into stages 1 and 2.
    """
    entry = registry.entry(name)
    made, space = entry.derived, entry.space
    names = dict.fromkeys(
        op for choice in space.values() for row in choice.candidates for op in row
    )
    benchmark = name == "nasbench201"
    norm = batch_norm.norms(True, training=False).outside
    found = []
    for stage, (height, width) in enumerate(_sides(size)):
        for op in (op for op in names if op != NONE):
            for stride in (1,) if benchmark or stage == len(STAGES) - 1 else (1, 2):
                features = size.features * 2**stage * stride
                x = images_of(size.batch, height, width, features)
                said = {
                    "format": "jaxnas operator", "space": name, "operation": op,
                    "features": features, "stride": stride, "height": height, "width": width,
                }  # fmt: skip
                title = f"{op} {features}x{height}x{width} /{stride}"
                module = mixed_edges.op_factories([op], made)[0][1](features, stride, norm)
                found.append(module_alone(title, OPERATOR, said, module, x))
    return found


def blocks(found: Iterable[Genotype], name: str, size: NetworkSize) -> list[Program]:
    """The pruned cells of genotypes alone, with the entry operations of their nodes.

    A NAS-Bench-201 cell stands at each of its three stages, the cells of other spaces at full
    size, where the reducing one halves the image.
    """
    norm = batch_norm.norms(True, training=False).outside
    made, rows = registry.entry(name).derived, []
    for genotype in found:
        for cell_name, cell in dataflow.remove_dead_edges(genotype).cells.items():
            known = mixed_edges.op_factories(dict.fromkeys(op for _, _, op in cell.edges), made)
            said = {"format": "jaxnas block", "cell": cell_name} | {
                "genotype": json.loads(genotypes.to_json(genotype))
            }
            at = f"{label(genotype)} {cell_name}"
            if name == "nasbench201":
                for stage, (height, width) in enumerate(_sides(size)):
                    features = size.features * 2**stage
                    module = nasbench201_network.NASBench201Cell(cell, known, features, norm)
                    shape = {"features": features, "height": height, "width": width}
                    x = images_of(size.batch, height, width, features)
                    title = f"{at} {features}x{height}x{width}"
                    rows.append(module_alone(title, BLOCK, said | shape, module, x))
                continue
            height, width = size.image[:2]
            stride = 2 if cell_name == "reduce" else 1
            features = size.features * stride
            x = images_of(size.batch, height, width, size.features * len(cell.concat))
            module = darts_network.DerivedCell(cell, known, features, stride, False, norm)
            shape = {"features": features, "height": height, "width": width}
            title = f"{at} {features}x{height}x{width}"
            rows.append(module_alone(title, BLOCK, said | shape, module, x, x, rest=(None,)))
    return rows


def reference() -> Program:
    """Four 3x3 convolutions of 32 channels over 16x16 pixels: in every campaign, so that
    campaigns can be compared. Our own choice."""
    kernels = tuple(jax.ShapeDtypeStruct((3, 3, 32, 32), jnp.float32) for _ in range(4))

    def function(kernels, x):
        for kernel in kernels:
            x = lowering.convolution(jax.nn.relu(x), kernel)
        return x

    said = json.dumps({"format": "jaxnas reference", "version": 1})
    return Program("reference", REFERENCE, said, function, (kernels, images_of(1, 16, 16, 32)))


def filled(tree: Any, seed: int = 0) -> Any:
    """Values for the shapes of a tree: none is tiny, so that no CPU slows down on them.

    Arrays of two dimensions and more are normal with the standard deviation of 1 / sqrt(fan
    in), vectors and scalars are 1, whole numbers 0. Equal shapes at equal places get equal values.
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


def check(programs: Sequence[Program]) -> None:
    """Raises ValueError for no programs, equal labels, unknown kinds and lost twins."""
    if not programs:
        raise ValueError("There is nothing to measure: give at least one program.")
    labels = [p.label for p in programs]
    twice = [name for name in labels if labels.count(name) > 1]
    if twice:
        raise ValueError(f"Two programs are called {twice[0]!r}: give each a name of its own.")
    for p in programs:
        if p.kind not in KINDS:
            raise ValueError(f"{p.label!r} is of kind {p.kind!r}: take one of {', '.join(KINDS)}.")
        if p.twin_of is not None and (p.twin_of not in labels or p.twin_of == p.label):
            raise ValueError(
                f"{p.label!r} is the twin of {p.twin_of!r}, which is not among the other programs."
            )


STAGES = (0, 1, 2)


def _sides(size: NetworkSize) -> list[tuple[int, int]]:
    height, width = size.image[:2]
    last = 2 ** STAGES[-1]
    if height % last or width % last:
        raise GenotypeError(
            f"Operations are measured at sides divided by 1, 2 and {last}, which {height}x{width} "
            f"pixels do not allow: take multiples of {last}."
        )
    return [(height >> stage, width >> stage) for stage in STAGES]


def module_alone(
    title: str, kind: str, said: Any, module: Any, *images: Any, rest: tuple = ()
) -> Program:
    """A Linen `module` alone, as a program of its variables and images."""
    variables = jax.eval_shape(lambda key, *x: module.init(key, *x, *rest), _key(), *images)

    def function(variables, images):
        return module.apply(variables, *images, *rest)

    text = json.dumps(said, separators=(",", ":"))
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
