"""Checkpoints: states on disk, restored bit by bit, or rejected with an error.

Orbax writes each checkpoint under a temporary name and renames it when it is complete; then a
manifest is added with the fingerprint of the settings, the leaves, and the SHA-256 of every file.
A checkpoint without a correct manifest counts as damaged. Orbax alone (0.12.8) would restore a
flipped byte as a wrong number, and cast a leaf of another dtype silently.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from jaxnas.run import files

FORMAT = 1  # of the manifest
MANIFEST = "jaxnas.json"
OVERHEAD_BYTES = 2**20  # of a checkpoint, in addition to its leaves

State = Any  # a pytree of arrays and PRNG keys


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read, or used here."""


class PreservationPolicy(NamedTuple):
    """Which checkpoints are kept: the latest few, and those at multiples of `every_steps`."""

    latest: int = 2
    every_steps: int | None = None


LATEST = PreservationPolicy()


class CheckpointStore(NamedTuple):
    """An open folder of checkpoints.

    `save(step, state)` returns after everything is on disk. `restore(template)` gives
    `(state, step)` of the latest intact checkpoint, or None; `template` is a state of the same
    shapes, dtypes and shardings. `steps()` are those of the checkpoints, ascending.
    """

    save: Callable[[int, State], None]
    restore: Callable[[State], tuple[State, int] | None]
    steps: Callable[[], list[int]]


@contextlib.contextmanager
def open_store(
    folder: Path,
    fingerprint: str,
    preservation: PreservationPolicy = LATEST,
    log: Callable[[str], None] = print,
) -> Iterator[CheckpointStore]:
    """A store to save to, used by one process at a time.

    `fingerprint` is that of the settings the states belong to. A damaged checkpoint is skipped,
    renamed `damaged-STEP` and reported by `log`. Raises CheckpointError if the folder cannot be
    used; from `save` if the disk cannot be written; from `restore` if a checkpoint is of other
    settings, structure, dtype or format, or if all are damaged.
    """
    folder = Path(folder).absolute()
    preservation_policies = [policies.LatestN(preservation.latest)]
    if preservation.every_steps is not None:
        preservation_policies.append(policies.EveryNSteps(preservation.every_steps))
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(preservation_policies),
        enable_async_checkpointing=False,  # the state is donated to the next chunk
        cleanup_tmp_directories=True,
    )
    with _manager(folder, options) as manager:
        yield CheckpointStore(
            save=lambda step, state: _save(manager, folder, fingerprint, step, state),
            restore=lambda template: _restore(
                manager, folder, fingerprint, template, log, rename=True
            ),
            steps=lambda: sorted(manager.all_steps()),
        )


def read(
    folder: Path, template: State, fingerprint: str | None = None, step: int | None = None
) -> tuple[State, int]:
    """(state, step) of the latest checkpoint, or of that of a step; the folder is not changed.

    Without a fingerprint the settings are not compared. Raises CheckpointError as
    `CheckpointStore.restore` does, and if the latest checkpoint is damaged or there is none.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise CheckpointError(f"There are no checkpoints in {folder}: no such folder.")
    # Orbax's own `read_only` logs three warnings; a manager that saves nothing writes nothing.
    options = ocp.CheckpointManagerOptions(create=False, enable_async_checkpointing=False)
    with _manager(folder, options) as manager:
        steps = None if step is None else [step]
        restored = _restore(
            manager, folder, fingerprint, template, _raise_unusable, rename=False, steps=steps
        )
    if restored is None:
        raise CheckpointError(f"There are no checkpoints in {folder}: run the command that saves.")
    return restored


def digest(state: State) -> str:
    """SHA-256 of all leaves with their paths, shapes and dtypes, in hex."""
    sha = hashlib.sha256()
    for name, leaf in _named_leaves(state):
        leaf = np.asarray(leaf)
        sha.update(f"{name} {leaf.dtype.name}{leaf.shape};".encode())
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()


def _manager(folder: Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    try:
        if options.create:
            folder.mkdir(parents=True, exist_ok=True)
        return ocp.CheckpointManager(folder, options=options)
    except OSError as error:
        raise CheckpointError(f"Cannot keep checkpoints in {folder}: {_reason(error)}") from error


def _save(manager, folder: Path, fingerprint: str, step: int, state: State) -> None:
    # Orbax would overwrite it with `force`, and silently not save without.
    if any(step <= other for other in manager.all_steps()):
        raise CheckpointError(
            f"Step {step} is not after the last checkpoint in {folder}: restore before saving."
        )
    data = _orbax_data(state)
    free, size = shutil.disk_usage(folder).free, sum(leaf.nbytes for leaf in data.values())
    # Orbax on a full disk prints tracebacks from its threads, so free space is checked before.
    reason = "No space left on device." if free < size + OVERHEAD_BYTES else ""
    if not reason:
        args = ocp.args.Composite(state=ocp.args.StandardSave(data))
        _, reason = _attempt(lambda: manager.save(step, args=args, force=True))
    if not reason:
        manifest = {
            "format": FORMAT,
            "step": step,
            "fingerprint": fingerprint,
            "jax": jax.__version__,
            "leaves": _signature(state),
        }
        _, reason = _attempt(lambda: _write_manifest(folder / str(step), manifest))
    if reason:
        raise CheckpointError(
            f"Cannot save step {step} in {folder}: {reason}{_earlier(manager)} Make room or give "
            "write permission, then run the same command again."
        )


def _earlier(manager) -> str:
    """That the checkpoints before this one are whole, if there are any."""
    try:
        steps = list(manager.all_steps(read=True))
    except OSError:
        return ""
    return " Earlier checkpoints are intact." if steps else ""


def _restore(
    manager, folder, fingerprint, template, log, rename: bool, steps: list[int] | None = None
) -> tuple[State, int] | None:
    """Of `steps`, by default of all, the latest that can be read."""
    steps = [s for s in sorted(manager.all_steps(), reverse=True) if steps is None or s in steps]
    reason = ""
    for step in steps:
        path = folder / str(step)
        manifest, reason = _attempt(lambda path=path: _read_manifest(path))
        if not reason:
            _check(manifest, path, fingerprint, template)
            args = ocp.args.Composite(state=ocp.args.StandardRestore(_targets(template)))
            saved, reason = _attempt(lambda step=step, args=args: manager.restore(step, args=args))
        if not reason:
            return _rebuild(saved.state, template), step
        log(f"Checkpoint {path} is damaged: {reason}")
        if rename:
            path.rename(_unused_path(folder / f"damaged-{step}"))
            manager.reload()
    if steps:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read; of the earliest, {reason} Delete the run "
            "folder, or start under another name."
        )
    return None


def _attempt(action: Callable[[], Any]) -> tuple[Any, str]:
    """(result, ""), or (None, reason): a bad byte or a full disk may raise any error here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # Orbax logs the traceback of what it raises
    try:
        return action(), ""
    except MemoryError:
        raise
    # Orbax and TensorStore use half a dozen types, a bare `Exception` among them.
    except Exception as error:  # noqa: BLE001
        return None, _reason(error)
    finally:
        logger.setLevel(level)


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    with files.atomic_write(path / MANIFEST) as file:
        file.write(json.dumps(manifest | {"files": _hashes(path)}).encode())


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises ValueError where a file is not as it was saved."""
    if not (path / MANIFEST).exists():
        raise ValueError("it was not finished (killed while it was saved?).")
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ValueError(f"{MANIFEST} is not the manifest of a checkpoint.")
    # `_check` rejects other formats, whatever the rest of the manifest.
    if manifest["format"] == FORMAT and manifest["files"] != _hashes(path):
        raise ValueError("its files are not those that were saved (SHA-256).")
    return manifest


def _hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint but the manifest, by its path within."""
    paths = sorted(p for p in path.rglob("*") if p.is_file() and MANIFEST not in p.name)
    hashes = {}
    for file_path in paths:
        with open(file_path, "rb") as file:
            digest_of_file = hashlib.file_digest(file, "sha256").hexdigest()
        hashes[file_path.relative_to(path).as_posix()] = digest_of_file
    return hashes


def _check(manifest: dict, path: Path, fingerprint: str | None, template: State) -> None:
    """Raises CheckpointError for a checkpoint of another format, run, or structure."""
    if manifest["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {manifest['format']}, and this jaxnas reads {FORMAT}: "
            "use the version that wrote it, or start under another name."
        )
    if fingerprint is not None and manifest["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{path} was saved under other settings: use those (settings.json), or start under "
            "another name."
        )
    saved = {name: (shape, dtype) for name, shape, dtype in manifest["leaves"]}
    expected = {name: (shape, dtype) for name, shape, dtype in _signature(template)}
    for name in sorted(saved.keys() | expected.keys()):
        if saved.get(name) != expected.get(name):
            raise CheckpointError(
                f"{path} holds another state: {name} is {_leaf_text(saved.get(name))} there and "
                f"{_leaf_text(expected.get(name))} here. Use the settings and the jaxnas that "
                "saved it, or start under another name."
            )


def _unused_path(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2`, ... that does not exist."""
    unused, number = path, 0
    while unused.exists():
        number += 1
        unused = path.with_name(f"{path.name}.{number}")
    return unused


def _raise_unusable(message: str) -> None:
    raise CheckpointError(f"{message} Run the command that saved it again: it starts before it.")


def _named_leaves(state: State) -> list[tuple[str, jax.Array]]:
    """Each leaf with its path; PRNG keys as their data, u32."""
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    return [(jax.tree_util.keystr(path) or "state", _as_array(leaf)) for path, leaf in flat]


def _as_array(leaf) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _is_key(leaf) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)


def _signature(state: State) -> list[list]:
    """[path, shape, dtype] of each leaf; the dtype of a key names its generator."""
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    return [
        [jax.tree_util.keystr(path) or "state", list(jnp.shape(x)), str(jnp.result_type(x))]
        for path, x in flat
    ]


def _orbax_data(state: State) -> dict[str, jax.Array]:
    """Leaves by path for Orbax, without the empty ones, which it cannot save."""
    return {name: leaf for name, leaf in _named_leaves(state) if leaf.size}


def _targets(template: State) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the leaves that Orbax restores."""
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in _orbax_data(template).items()
    }


def _rebuild(data: dict[str, jax.Array], template: State) -> State:
    """The state of restored leaves; empty leaves are those of `template`."""

    def leaf(path, old):
        new = data.get(jax.tree_util.keystr(path) or "state", old)
        return jax.random.wrap_key_data(new, impl=jax.random.key_impl(old)) if _is_key(old) else new

    return jax.tree_util.tree_map_with_path(leaf, template)


def _leaf_text(leaf: tuple[list, str] | None) -> str:
    return "missing" if leaf is None else f"{leaf[1]}{leaf[0]}"


def _reason(error: Exception) -> str:
    """The first line of an error, ending in a full stop."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    for line in lines:
        if "No space left" in line:
            return "No space left on device."
    return lines[0][:200].rstrip(".:") + "."
