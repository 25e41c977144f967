"""Claims about what `data.load` reads, and how it refuses what cannot be used."""

import io
import pathlib
import re
import socket
import zipfile

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from jaxnas import data
from jaxnas.data import lazy_images, splits
from tests import paths

GUIDE = paths.ROOT / "docs" / "data.md"


def refused(message: str):
    """One line that says `message`."""
    return pytest.raises(data.DataError, match=rf"(?i)\A(?=.*{message})[^\n]+\Z")


def arrays(count: int = 24, classes: int = 3, size: int = 6, channels: int = 3) -> dict:
    random = np.random.default_rng(0)
    test = count // 2
    return {
        "x_train": random.integers(0, 256, (count, size, size, channels), np.uint8),
        "y_train": np.arange(count) % classes,
        "x_test": random.integers(0, 256, (test, size, size, channels), np.uint8),
        "y_test": np.arange(test) % classes,
    }


def saved(path: pathlib.Path, **changes) -> pathlib.Path:
    """An .npz file with `changes`; a change to None leaves the key out."""
    merged = {**arrays(), **changes}
    np.savez_compressed(path, **{k: v for k, v in merged.items() if v is not None})
    return path


def painted(root: pathlib.Path, files: dict[str, tuple]) -> pathlib.Path:
    """Pictures by relative path: (mode, size)."""
    random = np.random.default_rng(0)
    for name, (mode, (width, height)) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        depth = {"L": (), "RGB": (3,), "RGBA": (4,), "I;16": ()}[mode]
        kind = np.uint16 if mode == "I;16" else np.uint8
        pixels = random.integers(0, 256, (height, width, *depth), kind)
        PIL.Image.fromarray(pixels).save(path)
    return root


def classes(part: str, each: int, mode: str = "RGB", size: tuple = (6, 6)) -> dict[str, tuple]:
    return {f"{part}{name}/{i}.png": (mode, size) for name in ("cat", "dog") for i in range(each)}


# The digits


def test_digits_are_the_same_every_time_and_need_no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    one, other = data.load("digits"), data.load("digits")
    assert one.digest == other.digest
    assert [len(part.labels) for part in (one.train, one.valid, one.test)] == [750, 750, 297]
    assert one.train.inputs.shape[1:] == (8, 8, 1) and one.train.inputs.dtype == np.uint8
    assert one.train.inputs.max() == 255 and one.class_names == tuple("0123456789")


def test_digits_split_into_disjoint_parts_that_are_all_of_scikit_learns():
    from sklearn import datasets

    dataset = data.load("digits")
    ours = np.concatenate([part.inputs for part in (dataset.train, dataset.valid, dataset.test)])
    theirs = np.rint(datasets.load_digits().images * (255 / 16)).astype(np.uint8)
    assert sorted(map(bytes, ours[..., 0])) == sorted(map(bytes, theirs))


def test_digits_test_part_holds_every_class_in_proportion():
    counts = np.bincount(data.load("digits").test.labels)
    assert counts.min() >= 28 and counts.max() <= 31


# Halves, limits and constants


def test_halves_are_by_index_as_in_the_paper_unless_seeded():
    parts = arrays()
    dataset = data.from_arrays(**parts, train_fraction=0.4)
    np.testing.assert_array_equal(dataset.train.inputs, parts["x_train"][:9])
    np.testing.assert_array_equal(dataset.valid.inputs, parts["x_train"][9:])
    np.testing.assert_array_equal(dataset.test.labels, parts["y_test"])


def test_seeded_halves_are_stratified_disjoint_and_differ_by_seed():
    labels = np.sort(np.arange(60) % 3)
    first, second = splits.train_valid_split(labels, 0.5, 7, "set")
    assert np.bincount(labels[first]).tolist() == [10, 10, 10]
    assert sorted([*first, *second]) == list(range(60))
    assert not np.array_equal(first, splits.train_valid_split(labels, 0.5, 8, "set")[0])
    np.testing.assert_array_equal(first, splits.train_valid_split(labels, 0.5, 7, "set")[0])


def test_merge_train_is_the_training_set_in_its_order():
    parts = arrays()
    whole = data.merge_train(data.from_arrays(**parts))
    np.testing.assert_array_equal(whole.inputs, parts["x_train"])
    np.testing.assert_array_equal(whole.labels, parts["y_train"])


def test_limit_takes_the_first_training_images_and_a_fifth_as_many_test_images():
    parts = arrays()
    dataset = data.from_arrays(**parts, limit=20)
    np.testing.assert_array_equal(data.merge_train(dataset).inputs, parts["x_train"][:20])
    np.testing.assert_array_equal(dataset.test.inputs, parts["x_test"][:4])


def test_constants_are_those_of_the_training_half_alone():
    parts = arrays()
    parts["x_train"][12:] = 7  # the validation half, which must not count
    dataset = data.from_arrays(**parts)
    half = parts["x_train"][:12].astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean, half.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, half.std((0, 1, 2)), rtol=1e-12)


def test_given_constants_are_taken():
    dataset = data.from_arrays(**arrays(), mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert (dataset.mean, dataset.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_digest_tells_any_changed_pixel_label_or_name():
    parts = arrays()
    digests = {data.from_arrays(**parts).digest, data.from_arrays(**arrays()).digest}
    assert len(digests) == 1
    digests.add(data.from_arrays(**parts, class_names=("a", "b", "c")).digest)
    parts["x_test"][0, 0, 0, 0] ^= 1
    digests.add(data.from_arrays(**parts).digest)
    parts["y_train"] = parts["y_train"][::-1]
    digests.add(data.from_arrays(**parts).digest)
    assert len(digests) == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"train_fraction": 0.0}, "train_fraction is 0.0"),
        ({"train_fraction": 1.0}, "train_fraction is 1.0"),
        ({"train_fraction": float("nan")}, "train_fraction is nan"),
        ({"train_fraction": 0.01}, "leaves a half empty"),
        ({"train_fraction": 0.1}, "class '2' is absent from the training half; set split_seed"),
        ({"train_fraction": 0.1, "split_seed": 1}, "too few to split off"),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"limit": 4}, "limit is 4"),
        ({"limit": 25}, "limit is 25 but .* has 24"),
        ({"limit": 5}, "class '2' has 1 of the 5 training images used"),
        ({"image_size": 0}, "image_size is 0"),
        ({"mean": (0.5,) * 3}, "mean and std belong together"),
        ({"mean": (0.5,), "std": (0.5,)}, "mean has 1 numbers; .* has 3 channels"),
        ({"mean": (125.0,) * 3, "std": (0.5,) * 3}, "not 0..255"),
        ({"mean": (float("nan"),) * 3, "std": (0.5,) * 3}, "in .0, 1. units"),
        ({"mean": (0.5,) * 3, "std": (0.0,) * 3}, "must be positive"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with refused(message):
        data.from_arrays(**arrays(), **options)


# Arrays and iterators from Python


def test_arrays_may_be_floats_grey_jax_or_columns_of_labels():
    parts = arrays(channels=1)
    plain = data.from_arrays(**parts)
    other = data.from_arrays(
        jnp.asarray(parts["x_train"][..., 0] / 255, jnp.float32),
        parts["y_train"][:, None].tolist(),
        parts["x_test"][..., 0].astype(np.float64) / 255,
        parts["y_test"].astype(np.uint8),
    )
    assert plain.digest == other.digest


def test_arrays_without_a_test_part_give_up_a_stratified_sixth():
    parts = arrays()
    dataset = data.from_arrays(parts["x_train"], parts["y_train"])
    assert np.bincount(dataset.test.labels).tolist() in ([1, 1, 2], [1, 2, 1], [2, 1, 1])
    held = set(map(bytes, dataset.test.inputs))
    assert not held & set(map(bytes, data.merge_train(dataset).inputs))
    assert len(data.merge_train(dataset).labels) == 20


def test_pairs_from_iterators_equal_the_arrays_they_make():
    parts = arrays()
    pairs = zip(parts["x_train"], parts["y_train"], strict=True)
    tests = zip(parts["x_test"], parts["y_test"], strict=True)
    assert data.from_pairs(pairs, tests).digest == data.from_arrays(**parts).digest


def test_pairs_from_an_endless_iterator_stop_at_the_limit():
    def forever():
        step = 0
        while True:
            yield np.full((4, 4, 3), step % 251, np.uint8), step % 2
            step += 1

    dataset = data.from_pairs(forever(), forever(), limit=20)
    assert len(data.merge_train(dataset).labels) == 20 and len(dataset.test.labels) == 4


def test_pairs_of_nothing_or_of_several_sizes_are_refused():
    with refused("the iterator gave no pair"):
        data.from_pairs(iter([]))
    with refused("scale them to one size first"):
        data.from_pairs([(np.zeros((4, 4, 3)), 0), (np.zeros((5, 4, 3)), 1)])


def nan_pixel() -> np.ndarray:
    pixels = np.zeros((24, 6, 6, 3), np.float32)
    pixels[5, 1, 2, 0] = np.nan
    return pixels


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": nan_pixel()}, "NaN or infinite pixels in 1 images, the first is number 5"),
        ({"x_train": np.full((24, 6, 6, 3), 255.0)}, r"scale them to \[0, 1\]"),
        ({"x_train": np.zeros((24, 6, 6, 3), np.int64)}, "pixels are int64; store them as uint8"),
        ({"x_train": np.zeros((24, 108), np.uint8)}, r"must be \[N, H, W, C\]"),
        ({"x_train": np.zeros((24, 3, 6, 6), np.uint8)}, "channels first; transpose"),
        ({"x_train": np.zeros((0, 6, 6, 3), np.uint8)}, "empty"),
        ({"x_train": [[1, 2], [3]]}, "no rectangular array"),
        ({"x_train": np.zeros((24, 6, 6, 3), np.uint8)}, "channel 0 is constant"),
        ({"x_train": np.zeros((23, 6, 6, 3), np.uint8)}, "23 images but 24 labels"),
        ({"x_test": np.zeros((12, 7, 6, 3), np.uint8)}, "test images are .7, 6, 3."),
        ({"x_test": np.zeros((12, 6, 6), np.uint8)}, "test images are .6, 6, 1."),
        ({"x_test": np.zeros((0, 6, 6, 3), np.uint8), "y_test": []}, "empty"),
        ({"y_test": None}, "x_test and y_test belong together"),
        ({"y_train": np.arange(24) % 3 + 0.5}, "labels are float64; store them as integers"),
        ({"y_train": np.eye(3, dtype=int)[np.arange(24) % 3]}, "argmax of one-hot"),
        ({"y_train": np.arange(24) % 3 - 1}, "labels run from -1 to 1; number the classes from 0"),
        ({"y_train": np.zeros((24, 1, 1), int)}, "they must be .N."),
        ({"y_train": np.full(24, 2**40)}, "number the classes from 0"),
        ({"y_train": np.arange(24) % 2 * 9}, "labels go up to 9 but only 2 values occur"),
        ({"y_train": np.zeros(24, int), "y_test": np.zeros(12, int)}, "only one class"),
        ({"y_test": np.arange(12) % 4}, "label 3 is out of range for 3 classes"),
        ({"class_names": ("a", "b")}, "label 2 is out of range for 2 classes"),
        ({"class_names": tuple("abcd")}, "class 'd' has no training image"),
        ({"class_names": tuple("aba")}, "class names repeat"),
        ({"y_train": np.array([2] + [0, 1] * 11 + [0])}, "class '2' has 1 of the 24"),
        ({"y_train": np.sort(np.arange(24) % 3)}, "class '2' is absent .* set split_seed"),
    ],
)
def test_unusable_arrays_are_refused(changes, message):
    with refused(message):
        data.from_arrays(**{**arrays(), **changes})


def test_sorted_labels_can_be_used_with_a_split_seed():
    parts = {**arrays(), "y_train": np.sort(np.arange(24) % 3)}
    dataset = data.from_arrays(**parts, split_seed=0)
    assert np.bincount(dataset.train.labels).tolist() == [4, 4, 4]


# .npz files


def test_npz_is_read_as_the_arrays_it_holds(tmp_path):
    dataset = data.load(str(saved(tmp_path / "mine.npz", class_names=np.array(["a", "b", "c"]))))
    assert dataset.name == "mine" and dataset.class_names == ("a", "b", "c")
    assert dataset.digest == data.from_arrays(**arrays(), class_names=("a", "b", "c")).digest


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": None}, "lacks x_train"),
        ({"x_test": None}, "x_test and y_test belong together"),
        ({"x_tset": np.zeros(3)}, "has unknown 'x_tset'; the keys are x_train"),
        ({"x_train": np.array([{}, {}])}, "no readable .npz file .Object arrays"),
        ({"class_names": np.arange(3)}, "class_names must be strings"),
        ({"y_train": np.arange(24) % 3 / 2}, "x_train and y_train: labels are float64"),
    ],
)
def test_npz_with_wrong_contents_is_refused(tmp_path, changes, message):
    with refused(message):
        data.load(str(saved(tmp_path / "x.npz", **changes)))


def test_npz_that_is_missing_or_no_archive_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    with refused("x.npz: no such file"):
        data.load(str(path))
    for content in (b"", b"hello", b"PK\x03\x04 nothing more", b"\x80\x04N."):
        path.write_bytes(content)
        with refused("no readable .npz file"):
            data.load(str(path))
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with refused("a single array"):
        data.load(str(path))


def test_npz_truncated_or_damaged_anywhere_is_refused(tmp_path):
    whole = saved(tmp_path / "x.npz").read_bytes()
    for place in np.linspace(1, len(whole) - 1, 12).astype(int):
        (tmp_path / "x.npz").write_bytes(whole[:place])
        with refused("no readable .npz file"):
            data.load(str(tmp_path / "x.npz"))
    broken = bytearray(whole)
    broken[500:540] = bytes(40)
    (tmp_path / "x.npz").write_bytes(broken)
    with refused("no readable .npz file"):
        data.load(str(tmp_path / "x.npz"))


def test_npz_that_claims_more_than_memory_is_refused(tmp_path):
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (2**48, 8, 8, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    with refused("do not fit into memory|no readable"):
        data.load(str(tmp_path / "x.npz"))


# Folders


def test_folder_with_train_and_test_is_read_by_class(tmp_path):
    root = painted(tmp_path / "pets", classes("train/", 6) | classes("test/", 2))
    dataset = data.load(str(root))
    assert dataset.name == "pets" and dataset.class_names == ("cat", "dog")
    assert data.merge_train(dataset).labels.tolist() == [0, 1] * 6
    with PIL.Image.open(root / "train/dog/1.png") as image:
        np.testing.assert_array_equal(data.merge_train(dataset).inputs[3], np.asarray(image))
    assert dataset.test.labels.tolist() == [0, 1] * 2


def test_folder_of_classes_alone_holds_out_a_test_part(tmp_path):
    dataset = data.load(str(painted(tmp_path, classes("", 9) | {".cache/x.png": ("L", (2, 2))})))
    assert np.bincount(dataset.test.labels).tolist() in ([1, 2], [2, 1])
    assert np.bincount(data.merge_train(dataset).labels).sum() == 15


def test_folder_of_grey_pictures_stays_grey_and_one_colour_makes_all_colour(tmp_path):
    grey = painted(tmp_path / "grey", classes("", 6, "L"))
    assert data.load(str(grey)).train.inputs.shape[-1] == 1
    painted(grey, {"cat/0.png": ("RGB", (6, 6))})
    mixed = data.load(str(grey))
    assert mixed.train.inputs.shape[-1] == 3
    dog = mixed.train.inputs[mixed.train.labels == 1]
    assert (dog == dog[..., :1]).all()


def test_folder_of_mixed_sizes_needs_image_size(tmp_path):
    files = classes("", 6) | {"cat/0.png": ("RGB", (9, 12))}
    root = painted(tmp_path, files)
    with refused("set image_size to scale all"):
        data.load(str(root))
    assert data.load(str(root), image_size=5).train.inputs.shape[1:] == (5, 5, 3)


def test_image_size_scales_the_centred_square_of_arrays_too():
    wide = np.zeros((1, 4, 8, 1), np.uint8)
    wide[:, :, 2:6] = 200  # the centred square is all that is bright
    small = lazy_images.read(
        lazy_images.resized(data.Images(wide, np.zeros(1, np.int32)), 2), "wide"
    )
    np.testing.assert_array_equal(small.inputs, np.full((1, 2, 2, 1), 200))


@pytest.mark.parametrize(
    "path, content, message",
    [
        ("cat/9.png", b"", "9.png: no picture that can be read"),
        ("cat/9.png", b"\x89PNG\r\n\x1a\n and no more", "9.png: no picture that can be read"),
        ("cat/notes.txt", b"hello", "notes.txt: no picture .* remove the file"),
        ("notes.txt", b"hello", "a file where folders of classes are expected"),
        ("cat/more/1.txt", b"hello", "more: no picture"),
    ],
)
def test_folder_with_a_file_that_is_no_picture_is_refused(tmp_path, path, content, message):
    root = painted(tmp_path, classes("", 6))
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(content)
    with refused(message):
        data.load(str(root))


def test_folder_with_a_truncated_picture_is_refused(tmp_path):
    root = painted(tmp_path, classes("", 6, size=(64, 64)))
    path = root / "dog" / "2.png"
    path.write_bytes(path.read_bytes()[:4000])
    with refused("2.png: no picture that can be read .*truncated"):
        data.load(str(root))


@pytest.mark.parametrize(
    "files, message",
    [
        ({"cat/9.png": ("I;16", (6, 6))}, "convert it to 8-bit"),
        ({"cat/9.png": ("RGBA", (6, 6))}, "transparent pixels"),
    ],
)
def test_folder_with_pixels_that_would_lose_something_is_refused(tmp_path, files, message):
    with refused(message):
        data.load(str(painted(tmp_path, classes("", 6) | files)))


def test_folder_without_classes_pictures_or_with_one_class_is_refused(tmp_path):
    with refused("empty; put one folder of pictures a class"):
        data.load(str(tmp_path))
    (tmp_path / "cat").mkdir()
    with refused("its folders hold no pictures"):
        data.load(str(tmp_path))
    painted(tmp_path, {f"cat/{i}.png": ("L", (4, 4)) for i in range(6)})
    with refused("only one class, 'cat'"):
        data.load(str(tmp_path))
    (tmp_path / "dog").mkdir()
    with refused("class 'dog' has no training image"):
        data.load(str(tmp_path))


def test_folder_whose_test_part_has_another_class_is_refused(tmp_path):
    root = painted(tmp_path, classes("train/", 6) | {"test/cow/0.png": ("RGB", (6, 6))})
    with refused("cow: no training folder has this class"):
        data.load(str(root))


def test_folder_with_a_single_image_of_a_class_is_refused(tmp_path):
    root = painted(tmp_path, classes("", 6) | {"cow/0.png": ("RGB", (6, 6))})
    with refused("class 'cow' has 1 of the 13 training images used"):
        data.load(str(root))


def test_a_set_larger_than_memory_is_refused_before_it_is_read():
    huge = data.LazyImages(np.zeros(10**7, np.int32), lambda i: np.zeros((1024, 1024, 3), np.uint8))
    with refused("31457.3 GB of pixels but this machine has .*stream it"):
        lazy_images.read(huge, "huge")


# Names


@pytest.mark.parametrize(
    "name, message",
    [
        ("cifr10", "did you mean cifar10.* Possible: digits, the path of a .npz"),
        ("", "Possible: digits"),
        ("huggingface:mnist", "Possible: digits"),
        ("cifar10:9.9.9", "cannot be loaded at version 9.9.9"),
        ("./nowhere", "no such folder or .npz file"),
        ("/nowhere/at/all", "no such folder or .npz file"),
        ("mnist", "mnist is not prepared in .*TensorFlow.*download_and_prepare"),
        ("ag_news_subset", "ag_news_subset is not prepared"),
    ],
)
def test_names_that_lead_nowhere_are_refused_without_a_network(
    name, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with refused(message):
        data.load(name, data_dir=None if name.startswith((".", "/")) else tmp_path)
    assert "".join(capfd.readouterr()) == ""


def test_data_dir_that_would_have_no_effect_is_refused(tmp_path):
    with refused("data_dir is for TFDS sets and has no effect on digits"):
        data.load("digits", data_dir=tmp_path)


def test_the_guide_runs_from_top_to_bottom():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    exec(compile("\n".join(blocks), str(GUIDE), "exec"), {})
