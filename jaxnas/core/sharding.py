"""Data parallelism: one step on many devices, among which the batch is split."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnas.core.types import Batch, Search, SearchState, Supernet

AXIS = "batch"


def mesh_of(count: int | None, batch_sizes: Mapping[str, int]) -> Mesh | None:
    """A mesh of so many devices; None: one device.

    By default all of an accelerator's devices where every batch divides by their number, else one;
    on a CPU one. `batch_sizes` are by flag, for messages. Raises ValueError for more devices than
    there are, and for a batch that does not divide.
    """
    available = jax.devices()
    if count is None:
        divides = all(size % len(available) == 0 for size in batch_sizes.values())
        count = len(available) if divides and jax.default_backend() != "cpu" else 1
    if not 1 <= count <= len(available):
        raise ValueError(
            f"--devices is {count}, but there are {len(available)}: give 1 to {len(available)}."
        )
    for flag, size in batch_sizes.items():
        if size % count:
            raise ValueError(
                f"{flag} is {size}, which does not split over {count} devices: make it a multiple."
            )
    if count == 1:
        return None
    return jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=available[:count])


def replicated(tree: Any, mesh: Mesh | None) -> Any:
    """A tree of arrays with a copy on every device of the mesh; unchanged without one."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def data_parallel(search: Search, mesh: Mesh) -> Search:
    """`search` with batches sharded over the one axis of `mesh`: see `over_batches`."""
    return search._replace(update=over_batches(search.update, mesh))


def over_batches(update: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`update(state, *batches)` with batches sharded over the axis of `mesh`; for `jax.jit`.

    The step equals that of one device up to the order of sums: XLA adds the communication, and
    statistics of a batch are those of the whole batch. Make the mesh with
    `axis_types=(AxisType.Auto,)`. Raises ValueError for another mesh, and for a batch that
    does not divide by its size.
    """
    if len(mesh.axis_names) != 1 or mesh.axis_types != (AxisType.Auto,):
        raise ValueError(
            f"A batch is split over one automatic axis, not over {mesh.axis_names} of types "
            f"{mesh.axis_types}: use jax.make_mesh((n,), ('batch',), axis_types=(AxisType.Auto,))."
        )
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))

    def sharded(state: Any, *batches: Batch):
        for batch in batches:
            _check_divides(batch, mesh.size)
        state = jax.lax.with_sharding_constraint(state, everywhere)
        batches = jax.lax.with_sharding_constraint(batches, split)
        return jax.lax.with_sharding_constraint(update(state, *batches), everywhere)

    return sharded


def pmapped(
    method: Callable[[Supernet], Search],
    net: Supernet,
    devices: Sequence[Any] | None = None,  # of jax.Device
    axis: str = "batch",
) -> Search:
    """`method(net)` whose update is a compiled `jax.pmap`; it takes whole batches.

    Every device passes its part of the inputs through the network, gathers the logits of the
    whole batch and compares them with all labels, so that any loss, metric or hypergradient is
    that of the whole batch. Batch statistics are local to a device and their running values
    are averaged, unless the network averages over `axis` itself. `devices` are all local
    ones by default. Raises ValueError for a batch that does not divide by their number.
    """
    devices = tuple(devices or jax.local_devices())
    axes = Batch(inputs=0, labels=None)  # pyright: ignore[reportArgumentType]
    step = jax.pmap(
        method(_spread(net, axis)).update,
        axis,
        in_axes=(None, axes, axes),
        out_axes=None,
        devices=devices,
    )

    def in_parts(batch: Batch) -> Batch:
        _check_divides(batch, len(devices))
        shape = (len(devices), -1, *batch.inputs.shape[1:])
        return batch._replace(inputs=batch.inputs.reshape(shape))

    def update(state: SearchState, train: Batch, valid: Batch):
        return step(state, in_parts(train), in_parts(valid))

    return method(net)._replace(update=update)


def _spread(net: Supernet, axis: str) -> Supernet:
    """`net` with a part of the inputs and the logits of all."""

    def apply(weights, stats, gates, inputs):
        # The mean changes no value, as these are equal everywhere. Its transpose, with the
        # sum over devices that transposes the gathering, makes gradients those of the whole.
        weights, gates = jax.lax.pmean((weights, gates), axis)
        logits, stats = net.apply(weights, stats, gates, inputs)
        return jax.lax.all_gather(logits, axis, tiled=True), jax.lax.pmean(stats, axis)

    def infer(weights, stats, gates, inputs):
        return jax.lax.all_gather(net.infer(weights, stats, gates, inputs), axis, tiled=True)

    return net._replace(apply=apply, infer=infer)


def _check_divides(batch: Batch, parts: int) -> None:
    size = batch.labels.shape[0]
    if size % parts:
        raise ValueError(f"A batch of {size} does not split over {parts} devices: make it divide.")
