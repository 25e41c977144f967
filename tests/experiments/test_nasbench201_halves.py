"""The benchmark's halves of CIFAR-10: as a file names them, or refused."""

import numpy as np
import pytest

from experiments import nasbench201_halves
from jaxnas import data


def dataset(count=20):
    """Images of noise, in two classes."""
    inputs = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return data.from_arrays(inputs, np.arange(count) % 2, inputs[:4], np.arange(4) % 2)


def written(path, **lists):
    np.savez(path, **{name: np.array(numbers) for name, numbers in lists.items()})
    return str(path)


def test_halves_are_the_first_images_of_each_list(tmp_path):
    images = data.merge_train(dataset())
    train, valid = [7, 2, 4, 9, 1, 3], [0, 5, 6, 8, 11, 10]
    path = written(tmp_path / "split.npz", train=train, valid=valid)
    for limit in (None, 4):
        cut = nasbench201_halves.halves(dataset(), path, limit)
        for half, numbers in ((cut.train, train[:limit]), (cut.valid, valid[:limit])):
            np.testing.assert_array_equal(half.inputs, images.inputs[numbers])
            np.testing.assert_array_equal(half.labels, images.labels[numbers])
    by_index = nasbench201_halves.halves(dataset(), None, None)
    np.testing.assert_array_equal(by_index.valid.inputs, dataset().valid.inputs)


def test_halves_of_any_sizes_are_cut_where_the_lists_end(tmp_path):
    images = data.merge_train(dataset()).inputs
    for train in range(4, 13):
        for valid in range(2, 8):
            lists = {"train": np.arange(train), "valid": np.arange(train, train + valid)}
            cut = nasbench201_halves.halves(
                dataset(), written(tmp_path / "split.npz", **lists), None
            )
            np.testing.assert_array_equal(cut.train.inputs, images[:train])
            np.testing.assert_array_equal(cut.valid.inputs, images[train : train + valid])


@pytest.mark.parametrize(
    ("lists", "cause"),
    [
        ({"train": [0, 1, 2], "valid": [2, 3]}, "twice"),
        ({"train": [0, 1], "valid": [2, 20]}, "image 20, but the training images are 0 to 19"),
        ({"train": [0, 1], "valid": [2, -1]}, "image -1"),
        ({"train": [0.0, 1.0], "valid": [2.0]}, "whole numbers"),
        ({"train": [0, 1]}, "valid"),
    ],
)
def test_refuses_halves_of_other_images(tmp_path, lists, cause):
    with pytest.raises(data.DataError, match=cause):
        nasbench201_halves.halves(dataset(), written(tmp_path / "split.npz", **lists), None)


def test_refuses_a_half_that_is_too_small_and_files_that_say_none(tmp_path):
    path = written(tmp_path / "split.npz", train=range(8), valid=range(8, 16))
    with pytest.raises(data.DataError, match="--limit is 9 but a half has 8"):
        nasbench201_halves.halves(dataset(), path, 9)
    (tmp_path / "text.npz").write_text("train: 1, 2")
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "pickled.npz", train=np.array([{}], object), valid=np.array([1]))
    for name in ("text.npz", "one.npy", "pickled.npz", "absent.npz"):
        with pytest.raises(data.DataError, match=f"{name} says no halves"):
            nasbench201_halves.halves(dataset(), str(tmp_path / name), None)
