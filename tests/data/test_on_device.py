"""Claims about batches drawn on the device, and about augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxnas import data
from jaxnas.data import augment, on_device

COUNT, BATCH = 11, 3
KEY = jax.random.key(5)


def numbered(count: int = COUNT, size: int = 8, channels: int = 3) -> data.DeviceImages:
    """Image i holds i everywhere, and its label is i."""
    numbers = np.arange(count)
    inputs = np.broadcast_to(numbers[:, None, None, None], (count, size, size, channels))
    return data.to_device(data.Images(inputs.astype(np.uint8), numbers.astype(np.int32)))


def drawn(key: jax.Array, steps: range) -> np.ndarray:
    draw = jax.jit(on_device.draw_batch, static_argnums=3)
    return np.stack([np.asarray(draw(numbered(), key, step, BATCH)[1]) for step in steps])


def test_draw_keeps_images_and_labels_together():
    inputs, labels = map(
        np.asarray, jax.jit(on_device.draw_batch, static_argnums=3)(numbered(), KEY, 4, BATCH)
    )
    assert inputs.dtype == jnp.uint8 and inputs.shape == (BATCH, 8, 8, 3)
    np.testing.assert_array_equal(inputs[:, 0, 0, 0], labels)
    np.testing.assert_array_equal(inputs.min((1, 2, 3)), inputs.max((1, 2, 3)))


def test_draw_never_repeats_an_image_within_an_epoch():
    per_epoch = data.steps_per_epoch(COUNT, BATCH)
    for epoch in range(4):
        labels = drawn(KEY, range(epoch * per_epoch, (epoch + 1) * per_epoch)).ravel()
        assert len(set(labels.tolist())) == per_epoch * BATCH == 9


def test_draw_orders_every_epoch_and_every_key_anew():
    first, second = drawn(KEY, range(3)), drawn(KEY, range(3, 6))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, drawn(jax.random.key(6), range(3)))
    np.testing.assert_array_equal(first, drawn(KEY, range(3)))


def test_draw_reaches_every_image_although_the_last_batch_is_dropped():
    assert set(drawn(KEY, range(3 * 12)).ravel().tolist()) == set(range(COUNT))


def test_draw_takes_the_whole_set_as_one_batch():
    labels = on_device.draw_batch(numbered(), KEY, 1, COUNT)[1]
    assert sorted(labels.tolist()) == list(range(COUNT))


@pytest.mark.parametrize("size", [0, COUNT + 1])
def test_steps_per_epoch_refuses_a_batch_that_the_set_cannot_fill(size):
    with pytest.raises(data.DataError, match=rf"batch_size is {size} but there are 11 images"):
        jax.jit(data.make_batch((0.5,), (1.0,), augment.none(), size))(numbered(), KEY, 0)


def shaken() -> augment.Augment:
    return augment.chain(augment.pad_crop(2), augment.flip(), augment.cutout(3))


def photos(count: int = COUNT) -> data.DeviceImages:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return data.to_device(data.Images(inputs, np.arange(count, dtype=np.int32)))


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def test_make_batch_under_scan_equals_the_loop():
    images, batch = photos(), data.make_batch(MEAN, STD, shaken(), BATCH)
    run = jax.jit(
        lambda images: jax.lax.scan(lambda _, t: (0, batch(images, KEY, t)), 0, jnp.arange(7))[1]
    )
    scanned, one = run(images), jax.jit(batch)
    for step in range(7):
        alone = one(images, KEY, step)
        np.testing.assert_allclose(scanned.inputs[step], alone.inputs, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(scanned.labels[step], alone.labels)


def test_make_batch_under_vmap_over_keys_equals_each_key_alone():
    images, batch = photos(), data.make_batch(MEAN, STD, shaken(), BATCH)
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(batch, in_axes=(None, 0, None)))(images, keys, 4)
    for i, key in enumerate(keys):
        alone = jax.jit(batch)(images, key, 4)
        np.testing.assert_allclose(together.inputs[i], alone.inputs, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(together.labels[i], alone.labels)


def test_make_batch_compiles_once_for_all_steps():
    batch = jax.jit(data.make_batch(MEAN, STD, shaken(), BATCH))
    for step in range(5):
        batch(photos(), KEY, jnp.int32(step))
    assert batch._cache_size() == 1


def test_make_batch_keeps_the_pixels_out_of_the_program():
    batch = jax.jit(data.make_batch(MEAN, STD, augment.none(), BATCH))
    images = photos(9999)
    assert len(batch.lower(images, KEY, 0).as_text()) < images.inputs.nbytes / 10


def test_make_batch_augments_the_same_image_differently_at_every_step():
    same = data.DeviceImages(
        jnp.broadcast_to(photos().inputs[:1], (COUNT, 8, 8, 3)), photos().labels
    )
    batch = jax.jit(data.make_batch(MEAN, STD, augment.pad_crop(3), COUNT))
    seen = {np.asarray(batch(same, KEY, step).inputs).tobytes() for step in range(5)}
    assert len(seen) == 5


def test_make_batch_normalises_and_casts():
    exact = data.make_batch(MEAN, STD, augment.none(), COUNT)(photos(), KEY, 0)
    wanted = (np.asarray(photos().inputs)[exact.labels] / 255 - MEAN) / np.array(STD)
    np.testing.assert_allclose(exact.inputs, wanted, rtol=1e-5, atol=1e-6)
    assert exact.inputs.dtype == jnp.float32 and exact.labels.dtype == jnp.int32
    half = data.make_batch(MEAN, STD, augment.none(), COUNT, jnp.bfloat16)(photos(), KEY, 0)
    assert half.inputs.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.inputs.astype(jnp.float32), wanted, atol=0.02)


def ramp(count: int = 64, size: int = 6) -> jax.Array:
    """Every pixel of an image is different, and none is zero."""
    return jnp.broadcast_to(
        1.0 + jnp.arange(size * size, dtype=jnp.float32).reshape(1, size, size, 1),
        (count, size, size, 1),
    )


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    images = np.asarray(ramp(400))
    flipped = np.asarray(augment.flip()(KEY, ramp(400)))
    mirrored = np.array(
        [bool((f == i[:, ::-1]).all()) for f, i in zip(flipped, images, strict=True)]
    )
    untouched = np.array([bool((f == i).all()) for f, i in zip(flipped, images, strict=True)])
    assert (mirrored ^ untouched).all()
    assert 150 < mirrored.sum() < 250


def test_pad_crop_cuts_a_window_of_the_framed_image_at_every_place():
    images, fill = ramp(400), -7.0
    cropped = np.asarray(augment.pad_crop(1, fill)(KEY, images))
    framed = np.pad(np.asarray(images[0]), ((1, 1), (1, 1), (0, 0)), constant_values=fill)
    windows = {framed[y : y + 6, x : x + 6].tobytes() for y in range(3) for x in range(3)}
    assert {each.tobytes() for each in cropped} == windows


def test_pad_crop_pads_with_black_as_the_paper_does():
    dark = data.preprocess(MEAN, STD, augment.pad_crop(3, augment.black(MEAN, STD)))
    blank = jnp.zeros((16, 8, 8, 3), jnp.uint8)
    batch = dark(KEY, blank, jnp.zeros(16, jnp.int32))
    np.testing.assert_allclose(
        batch.inputs, np.broadcast_to(-np.divide(MEAN, STD), (16, 8, 8, 3)), 1e-6
    )


def reference_cutout(size: int, length: int, row: int, column: int) -> np.ndarray:
    """The mask of the DARTS code (cnn/utils.py), for one centre."""
    mask = np.ones((size, size, 1), np.float32)
    low, high = (np.clip([c - length // 2, c + length // 2], 0, size) for c in (row, column))
    mask[low[0] : low[1], high[0] : high[1]] = 0.0
    return mask


def test_cutout_makes_exactly_the_masks_of_the_darts_code():
    cut = np.asarray(augment.cutout(4)(KEY, ramp(600)))
    image = np.asarray(ramp(1)[0])
    masks = {
        (image * reference_cutout(6, 4, row, column)).tobytes()
        for row in range(6)
        for column in range(6)
    }
    assert {each.tobytes() for each in cut} == masks


def test_cutout_of_odd_length_cuts_that_many_pixels():
    assert ((augment.cutout(3)(KEY, ramp()) == 0).sum((1, 2, 3)).max()) == 9


def test_chain_gives_each_member_a_key_of_its_own():
    noise = lambda key, images: images + jax.random.normal(key, images.shape)  # noqa: E731
    once, twice = augment.chain(noise), augment.chain(noise, noise)
    zeros = jnp.zeros((2, 4, 4, 1))
    both = twice(KEY, zeros)
    k_first, k_second = jax.random.split(KEY, 2)
    np.testing.assert_allclose(both, noise(k_first, zeros) + noise(k_second, zeros), rtol=1e-6)
    assert not np.allclose(both, 2 * once(KEY, zeros))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: augment.chain(), "none"),
        (lambda: augment.pad_crop(0), "pad by at least 1"),
        (lambda: augment.cutout(0), "at least 1"),
        (lambda: augment.pad_crop(6)(KEY, ramp()), "pad less"),
        (lambda: augment.cutout(7)(KEY, ramp()), "cut less"),
    ],
)
def test_augmentation_refuses_what_changes_nothing_or_everything(build, message):
    with pytest.raises(ValueError, match=message):
        build()


order = jax.jit(on_device.shuffled, static_argnums=2)


@pytest.mark.parametrize("count", [1, 11, on_device.SORTED, on_device.SORTED + 1, 25_000, 50_000])
def test_nothing_is_twice(count):
    whole = np.asarray(order(jax.random.key(3), jnp.arange(count), count))
    assert (np.sort(whole) == np.arange(count)).all()
    part = order(jax.random.key(3), jnp.arange(count // 2, count), count)
    np.testing.assert_array_equal(part, whole[count // 2 :])


@pytest.mark.parametrize("count", [on_device.SORTED, 2500])
def test_small_sets_are_permuted_as_jax_does_and_large_ones_anew_for_each_key(count):
    first, second = (np.asarray(order(jax.random.key(k), jnp.arange(count), count)) for k in (0, 1))
    # Two random orders agree in one place on average.
    assert (first == second).sum() < 8
    jax_order = np.asarray(jax.random.permutation(jax.random.key(0), count))
    assert (first == jax_order).all() == (count <= on_device.SORTED)


def test_a_large_set_is_in_every_order_alike():
    count, keys = 2500, 400
    places = jnp.arange(40)
    drawn = np.asarray(
        jax.vmap(lambda key: on_device.shuffled(key, places, count))(
            jax.random.split(jax.random.key(7), keys)
        )
    )
    tenths = lambda values: np.bincount(values.ravel() * 10 // count, minlength=10)
    # The value at a place is uniform, and so is the step from one place to the next.
    steps = np.diff(drawn, axis=1) % count
    for values in (drawn, drawn[:, 0], drawn[:, -1], steps, steps[:, 5]):
        assert scipy.stats.chisquare(tenths(values)).pvalue > 1e-3
    # Places are not related: neighbours correlate as two draws do.
    pairs = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert abs(pairs) < 4 / np.sqrt(drawn[:, 1:].size)
