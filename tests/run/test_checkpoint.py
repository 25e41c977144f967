"""What a checkpoint promises: the same bytes back, or one clear refusal."""

import contextlib
import gc
import json
import resource
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxnas.run import checkpoint


class State(NamedTuple):
    step: jax.Array
    key: jax.Array
    raw_key: jax.Array
    weights: Any
    opt: Any
    memory: Any


def state(step: int = 3, features: int = 400, dtype=jnp.float32) -> State:
    weights = {"dense": jax.random.normal(jax.random.key(step), (3, features), dtype)}
    return State(
        jnp.asarray(step, jnp.int32),
        jax.random.split(jax.random.key(5), 2),
        jax.random.PRNGKey(6),
        weights,
        optax.adam(1e-3).init(weights),
        {
            "empty": jnp.zeros((0, 3)),
            "none": None,
            "half": jnp.ones(2, jnp.bfloat16),
            "nothing": (),
        },
    )


def save(folder, *steps, fingerprint="a", keep=checkpoint.LATEST, notes=None):
    with checkpoint.open_store(folder, fingerprint, keep, _log(notes)) as store:
        for step in steps:
            store.save(step, state(step))
        return store.steps()


def restore(folder, like, fingerprint="a", notes=None):
    with checkpoint.open_store(folder, fingerprint, log=_log(notes)) as store:
        return store.restore(like)


def _log(notes):
    return pytest.fail if notes is None else notes.append


def test_restores_every_leaf_to_the_byte(tmp_path):
    save(tmp_path, 3)
    found, step = restore(tmp_path, state(step=0))
    assert step == 3
    assert checkpoint.digest(found) == checkpoint.digest(state(3))
    assert jax.tree.structure(found) == jax.tree.structure(state(3))
    assert [leaf.dtype for leaf in jax.tree.leaves(found)] == [
        leaf.dtype for leaf in jax.tree.leaves(state(3))
    ]
    assert (jax.random.uniform(found.key[0]) == jax.random.uniform(state(3).key[0])).all()


def test_restores_a_state_that_is_one_array(tmp_path):
    with checkpoint.open_store(tmp_path, "a") as store:
        assert store.restore(jnp.zeros(3)) is None
        store.save(1, jnp.arange(3.0))
        assert store.restore(jnp.zeros(3))[0].tolist() == [0, 1, 2]


def test_the_digest_sees_values_names_and_dtypes():
    digests = {
        checkpoint.digest(tree)
        for tree in (
            {"a": jnp.zeros(4)},
            {"b": jnp.zeros(4)},
            {"a": jnp.zeros((2, 2))},
            {"a": jnp.zeros(4, jnp.int32)},
            {"a": jnp.zeros(4).at[0].set(-0.0)},
        )
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("like", "fingerprint", "message"),
    [
        (state(), "b", "other settings"),
        (state(features=5), "a", r"dense.* is float32\[3, 400\] there and float32\[3, 5\] here"),
        (state(dtype=jnp.bfloat16), "a", r"float32\[3, 400\] there and bfloat16\[3, 400\] here"),
        (state()._replace(opt=()), "a", "opt.* there and missing here"),
        (state()._replace(key=jax.random.key(0, impl="rbg")), "a", r"key<fry>\[2\] there and"),
    ],
)
def test_refuses_a_state_of_another_run(tmp_path, like, fingerprint, message):
    save(tmp_path, 3)
    with pytest.raises(checkpoint.CheckpointError, match=message) as refusal:
        restore(tmp_path, like, fingerprint)
    assert "\n" not in str(refusal.value)
    assert restore(tmp_path, state()) is not None


def test_refuses_another_format(tmp_path):
    save(tmp_path, 3)
    path = tmp_path / "3" / "jaxnas.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(checkpoint.CheckpointError, match="format 99.*reads 1"):
        restore(tmp_path, state())


def flip_a_byte(folder):
    largest = max(folder.glob("state/ocdbt*/d/*"), key=lambda path: path.stat().st_size)
    text = bytearray(largest.read_bytes())
    text[len(text) // 2] ^= 1
    largest.write_bytes(text)


def tear(folder):
    for path in folder.glob("state/ocdbt*/d/*"):
        path.write_bytes(path.read_bytes()[:20])


def lose_the_manifest(folder):
    (folder / "jaxnas.json").unlink()


def garble_the_manifest(folder):
    (folder / "jaxnas.json").write_text('{"format": 1, "fing')


@pytest.mark.parametrize("damage", [flip_a_byte, tear, lose_the_manifest, garble_the_manifest])
def test_passes_over_a_damaged_checkpoint_and_says_so(tmp_path, damage):
    save(tmp_path, 3, 5)
    damage(tmp_path / "5")
    with pytest.raises(checkpoint.CheckpointError, match=r"5 is damaged"):
        checkpoint.read(tmp_path, state(), "a")
    notes = []
    found, step = restore(tmp_path, state(), notes=notes)
    assert step == 3
    assert checkpoint.digest(found) == checkpoint.digest(state(3))
    assert len(notes) == 1
    assert "5 is damaged" in notes[0]
    assert (tmp_path / "damaged-5").is_dir()
    assert save(tmp_path, 5) == [3, 5]


def test_refuses_when_all_are_damaged(tmp_path):
    save(tmp_path, 3)
    tear(tmp_path / "3")
    with pytest.raises(checkpoint.CheckpointError, match="No checkpoint in .* can be read"):
        restore(tmp_path, state(), notes=[])


def test_reads_without_touching(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no such folder"):
        checkpoint.read(tmp_path / "no", state())
    save(tmp_path / "c", 3, 5)
    before = sorted((tmp_path / "c").rglob("*"))
    found, step = checkpoint.read(tmp_path / "c", state())
    assert (step, checkpoint.digest(found)) == (5, checkpoint.digest(state(5)))
    assert sorted((tmp_path / "c").rglob("*")) == before
    found, step = checkpoint.read(tmp_path / "c", state(), step=3)
    assert (step, checkpoint.digest(found)) == (3, checkpoint.digest(state(3)))
    with pytest.raises(checkpoint.CheckpointError, match="There are no checkpoints"):
        checkpoint.read(tmp_path / "c", state(), step=4)


def test_keeps_by_policy(tmp_path):
    keep = checkpoint.PreservationPolicy(latest=2, every_steps=10)
    assert save(tmp_path, 4, 8, 10, 12, 16, 20, 24, 28, keep=keep) == [10, 20, 24, 28]


def test_refuses_to_save_backwards(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="Step 2 is not after"):
        save(tmp_path, 3, 2)


def test_refuses_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(checkpoint.CheckpointError, match="Cannot keep checkpoints in"):
        save(tmp_path / "c", 3)


@contextlib.contextmanager
def files_of_at_most(size: int):
    """A disk that takes no more: writes beyond `size` bytes of a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_seen_before(tmp_path, monkeypatch):
    with checkpoint.open_store(tmp_path, "a") as store:
        store.save(3, state(3))
        free = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
        with pytest.raises(checkpoint.CheckpointError, match="5 in .*: No space left on device"):
            store.save(5, state(5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3"]


# Orbax's threads complain of what its caller has been told.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_disk_that_refuses_leaves_the_earlier_checkpoint(tmp_path):
    with checkpoint.open_store(tmp_path, "a") as store:
        store.save(3, state(3))
        with files_of_at_most(100), pytest.raises(checkpoint.CheckpointError) as refusal:
            store.save(5, state(5))
        assert "Cannot save step 5" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert store.steps() == [3]
    gc.collect()
    assert restore(tmp_path, state())[1] == 3
    assert save(tmp_path, 5) == [3, 5]
