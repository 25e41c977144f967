"""Claims about batches that stream from the host."""

import itertools

import jax
import numpy as np
import pytest

from jaxnas import data
from jaxnas.data import augment, lazy_images

COUNT, BATCH = 10, 3


def numbered() -> data.Images:
    numbers = np.arange(COUNT)
    inputs = np.broadcast_to(numbers[:, None, None, None], (COUNT, 4, 4, 1)).astype(np.uint8)
    return data.Images(inputs, numbers.astype(np.int32))


def unread() -> data.LazyImages:
    images = numbered()
    return data.LazyImages(images.labels, lambda i: images.inputs[i])


@pytest.fixture(params=[numbered, unread])
def source(request):
    return request.param()


def test_stream_never_repeats_an_image_within_an_epoch(source):
    batches = data.stream(source, seed=1, batch_size=BATCH)
    orders = []
    for epoch in range(4):
        labels = np.concatenate([batches(3 * epoch + step)[1] for step in range(3)])
        assert len(set(labels.tolist())) == 9
        orders.append(tuple(labels.tolist()))
    assert len(set(orders)) == 4


def test_stream_is_a_function_of_seed_and_step_alone(source):
    forward = [data.stream(source, seed=1, batch_size=BATCH)(step) for step in range(8)]
    backward = data.stream(source, seed=1, batch_size=BATCH)
    for step in reversed(range(8)):
        for one, other in zip(backward(step), forward[step], strict=True):
            np.testing.assert_array_equal(one, other)
    other = data.stream(source, seed=2, batch_size=BATCH)
    assert any(not np.array_equal(other(step)[1], forward[step][1]) for step in range(8))


def test_stream_keeps_images_and_labels_together(source):
    inputs, labels = data.stream(source, seed=1, batch_size=BATCH)(5)
    assert inputs.dtype == np.uint8 and inputs.shape == (BATCH, 4, 4, 1)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(inputs[:, 0, 0, 0], labels)


def test_prefetched_continues_at_any_step_with_the_batches_of_stream(source):
    batches = data.stream(source, seed=1, batch_size=BATCH)
    for step, (inputs, labels) in enumerate(
        itertools.islice(data.prefetched(source, 1, BATCH, start=4, buffer_size=2), 6), start=4
    ):
        np.testing.assert_array_equal(inputs, batches(step)[0])
        np.testing.assert_array_equal(labels, batches(step)[1])


def test_stream_reads_a_memory_map(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, numbered().inputs)
    mapped = data.Images(np.load(path, mmap_mode="r"), numbered().labels)
    np.testing.assert_array_equal(
        data.stream(mapped, 1, BATCH)(2)[0], data.stream(numbered(), 1, BATCH)(2)[0]
    )


def test_stream_is_finished_on_the_device_like_a_resident_set():
    inputs, labels = data.stream(numbered(), seed=1, batch_size=BATCH)(0)
    last = jax.jit(data.preprocess((0.5,), (0.25,), augment.none()))
    batch = last(jax.random.key(0), inputs, labels)
    np.testing.assert_allclose(batch.inputs, (inputs / 255 - 0.5) / 0.25, rtol=1e-6)


def test_stream_refuses_a_batch_that_the_set_cannot_fill(source):
    with pytest.raises(data.DataError, match="batch_size is 11 but there are 10 images"):
        data.stream(source, seed=1, batch_size=11)


def test_stream_refuses_images_of_several_sizes_in_one_batch():
    mixed = data.LazyImages(
        np.arange(4, dtype=np.int32), lambda i: np.zeros((4 + i % 2, 4, 1), np.uint8)
    )
    with pytest.raises(data.DataError, match="cannot share a batch; scale them"):
        data.stream(mixed, seed=1, batch_size=4)(0)
    assert data.stream(lazy_images.resized(mixed, 6), 1, 4)(0)[0].shape == (4, 6, 6, 1)
