"""One state on disk: saved whole, restored to the byte, or refused.

Orbax writes each checkpoint under a temporary name and renames it when it is complete; then we
add a note with the settings, the leaves, and the SHA-256 of every file. A checkpoint without a
true note is none. What Orbax lets pass (0.12.8), the note catches: a flipped byte would come
back as a wrong number, a leaf of another dtype would be cast in silence.
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

FORMAT = 1  # of the note
NOTE = "jaxnas.json"
SPARE_BYTES = 2**20  # what a checkpoint takes beside its leaves

State = Any  # a pytree of arrays and PRNG keys


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read, or used here."""


class PreservationPolicy(NamedTuple):
    """Which checkpoints stay: the latest few, and every one at a multiple of `every_steps`."""

    latest: int = 2
    every_steps: int | None = None


LATEST = PreservationPolicy()


class CheckpointStore(NamedTuple):
    """An open folder of checkpoints.

    `save(step, state)` returns when all is on disk. `restore(like)` gives `(state, step)` of
    the latest sound checkpoint, or None where there is none; `like` is a state of the same
    shapes, dtypes and shardings.
    """

    save: Callable[[int, State], None]
    restore: Callable[[State], tuple[State, int] | None]
    steps: Callable[[], list[int]]  # ascending


@contextlib.contextmanager
def open_store(
    folder: Path,
    fingerprint: str,
    keep: PreservationPolicy = LATEST,
    note: Callable[[str], None] = print,
) -> Iterator[CheckpointStore]:
    """A store to write to, held by one process.

    `fingerprint` names the settings the states belong to; `note` is told of each damaged
    checkpoint that is passed over (it is renamed `damaged-STEP`). Raises CheckpointError if
    the folder cannot be used; from `save` if the disk refuses; from `restore` if a checkpoint
    is of other settings, structure, dtype or format, or if all are damaged.
    """
    folder = Path(folder).absolute()
    rules = [policies.LatestN(keep.latest)]
    if keep.every_steps is not None:
        rules.append(policies.EveryNSteps(keep.every_steps))
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(rules),
        enable_async_checkpointing=False,  # the state is donated to the next chunk
        cleanup_tmp_directories=True,
    )
    with _manager(folder, options) as manager:
        yield CheckpointStore(
            save=lambda step, state: _save(manager, folder, fingerprint, step, state),
            restore=lambda like: _restore(manager, folder, fingerprint, like, note, move=True),
            steps=lambda: sorted(manager.all_steps()),
        )


def read(folder: Path, like: State, fingerprint: str | None = None) -> tuple[State, int]:
    """(state, step) of the latest checkpoint; leaves the folder as it is.

    Without a fingerprint the settings are not compared. Raises CheckpointError as
    `Store.restore` does, and if the latest checkpoint is damaged or there is none.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise CheckpointError(f"There are no checkpoints in {folder}: no such folder.")
    # Orbax's own `read_only` logs three warnings; a manager that saves nothing writes nothing.
    options = ocp.CheckpointManagerOptions(create=False, enable_async_checkpointing=False)
    with _manager(folder, options) as manager:
        found = _restore(manager, folder, fingerprint, like, _raise_unusable, move=False)
    if found is None:
        raise CheckpointError(f"There are no checkpoints in {folder}: run the command that saves.")
    return found


def digest(state: State) -> str:
    """SHA-256 of all leaves with their paths, shapes and dtypes, in hex."""
    total = hashlib.sha256()
    for name, leaf in _leaves(state):
        total.update(f"{name} {leaf.dtype.name}{leaf.shape};".encode())
        total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()


def _manager(folder: Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    try:
        if options.create:
            folder.mkdir(parents=True, exist_ok=True)
        return ocp.CheckpointManager(folder, options=options)
    except OSError as error:
        raise CheckpointError(f"Cannot keep checkpoints in {folder}: {_reason(error)}") from error


def _save(manager, folder: Path, fingerprint: str, step: int, state: State) -> None:
    # `force` would write it all the same, and without it Orbax says no in silence.
    if any(step <= other for other in manager.all_steps()):
        raise CheckpointError(
            f"Step {step} is not after the last checkpoint in {folder}: restore before saving."
        )
    data = _data(state)
    room, size = shutil.disk_usage(folder).free, sum(leaf.nbytes for leaf in data.values())
    # Orbax on a full disk prints tracebacks from its threads, so we look before.
    reason = "No space left on device." if room < size + SPARE_BYTES else ""
    if not reason:
        args = ocp.args.Composite(state=ocp.args.StandardSave(data))
        _, reason = _attempt(lambda: manager.save(step, args=args, force=True))
    if not reason:
        note = {
            "format": FORMAT,
            "step": step,
            "fingerprint": fingerprint,
            "jax": jax.__version__,
            "leaves": _signature(state),
        }
        _, reason = _attempt(lambda: _write_note(folder / str(step), note))
    if reason:
        raise CheckpointError(
            f"Cannot save step {step} in {folder}: {reason} Earlier checkpoints are intact: make "
            "room or give write permission, then run the same command again."
        )


def _restore(manager, folder, fingerprint, like, note, move: bool) -> tuple[State, int] | None:
    steps, reason = sorted(manager.all_steps(), reverse=True), ""
    for step in steps:
        path = folder / str(step)
        written, reason = _attempt(lambda path=path: _read_note(path))
        if not reason:
            _check(written, path, fingerprint, like)
            args = ocp.args.Composite(state=ocp.args.StandardRestore(_targets(like)))
            found, reason = _attempt(lambda step=step, args=args: manager.restore(step, args=args))
        if not reason:
            return _rebuilt(found.state, like), step
        note(f"Checkpoint {path} is damaged: {reason}")
        if move:
            path.rename(_free(folder / f"damaged-{step}"))
            manager.reload()
    if steps:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read; of the earliest, {reason} Delete the run "
            "folder, or start under another name."
        )
    return None


def _attempt(action: Callable[[], Any]) -> tuple[Any, str]:
    """(result, ""), or (None, why not): a bad byte or a full disk may raise anything here."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)  # Orbax logs the traceback of what it raises
    try:
        return action(), ""
    except MemoryError:
        raise
    # Orbax and TensorStore use half a dozen types, a bare `Exception` among them.
    except Exception as error:  # noqa: BLE001
        return None, _reason(error)
    finally:
        log.setLevel(level)


def _write_note(path: Path, note: dict[str, Any]) -> None:
    with files.atomic_write(path / NOTE) as file:
        file.write(json.dumps(note | {"files": _hashes(path)}).encode())


def _read_note(path: Path) -> dict[str, Any]:
    """The note of a checkpoint whose every file is as it was saved; else ValueError."""
    if not (path / NOTE).exists():
        raise ValueError("it was not finished (killed while it was saved?).")
    note = json.loads((path / NOTE).read_text(encoding="utf-8"))
    if not isinstance(note, dict) or "format" not in note:
        raise ValueError(f"{NOTE} is not the note of a checkpoint.")
    # Another format is refused as such, whatever else its note says.
    if note["format"] == FORMAT and note["files"] != _hashes(path):
        raise ValueError("its files are not those that were saved (SHA-256).")
    return note


def _hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint but the note, by its path within."""
    hashed = sorted(file for file in path.rglob("*") if file.is_file() and NOTE not in file.name)
    hashes = {}
    for file in hashed:
        with open(file, "rb") as content:
            digest_of_file = hashlib.file_digest(content, "sha256").hexdigest()
        hashes[file.relative_to(path).as_posix()] = digest_of_file
    return hashes


def _check(note: dict, path: Path, fingerprint: str | None, like: State) -> None:
    if note["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {note['format']}, and this jaxnas reads {FORMAT}: use "
            "the version that wrote it, or start under another name."
        )
    if fingerprint is not None and note["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{path} was saved under other settings: use those (settings.json), or start under "
            "another name."
        )
    there = {name: (shape, dtype) for name, shape, dtype in note["leaves"]}
    here = {name: (shape, dtype) for name, shape, dtype in _signature(like)}
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise CheckpointError(
                f"{path} holds another state: {name} is {_words(there.get(name))} there and "
                f"{_words(here.get(name))} here. Use the settings and the jaxnas that saved it, "
                "or start under another name."
            )


def _free(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2`, ... that is not taken."""
    taken, number = path, 0
    while taken.exists():
        number += 1
        taken = path.with_name(f"{path.name}.{number}")
    return taken


def _raise_unusable(message: str) -> None:
    raise CheckpointError(f"{message} Run the command that saved it again: it starts before it.")


def _leaves(state: State) -> list[tuple[str, np.ndarray]]:
    return [(name, np.asarray(leaf)) for name, leaf in _named(state)]


def _named(state: State) -> list[tuple[str, jax.Array]]:
    """Each leaf with its path; PRNG keys as their words."""
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    return [(jax.tree_util.keystr(path) or "state", _words_of(leaf)) for path, leaf in flat]


def _words_of(leaf) -> jax.Array:
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


def _data(state: State) -> dict[str, jax.Array]:
    """What Orbax is given: leaves by path, without the empty ones, which it refuses."""
    return {name: leaf for name, leaf in _named(state) if leaf.size}


def _targets(like: State) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in _data(like).items()
    }


def _rebuilt(data: dict[str, jax.Array], like: State) -> State:
    def leaf(path, old):
        new = data.get(jax.tree_util.keystr(path) or "state", old)
        return jax.random.wrap_key_data(new, impl=jax.random.key_impl(old)) if _is_key(old) else new

    return jax.tree_util.tree_map_with_path(leaf, like)


def _words(leaf: tuple[list, str] | None) -> str:
    return "missing" if leaf is None else f"{leaf[1]}{leaf[0]}"


def _reason(error: Exception) -> str:
    """The first line of what went wrong, ending in a full stop."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    for line in lines:
        if "No space left" in line:
            return "No space left on device."
    return lines[0][:200].rstrip(".:") + "."
