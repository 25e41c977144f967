"""Claims about what `data.load` reads, and how it refuses what cannot be used."""

import io
import pathlib
import re
import socket
import struct
import warnings
import zipfile
import zlib

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from jaxnas import data
from jaxnas.data import lazy_images, splits
from tests import paths

# A picture of one rectangle, as PostScript.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n%%EndComments\n0 0 6 6 rectfill\n%%EOF\n"


def _deep_png() -> bytes:
    """6x6 pixels of three channels of 16 bits, which Pillow cannot write."""
    chunk = lambda kind, body: (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
    rows = zlib.compress((b"\0" + bytes(36)) * 6)
    header = struct.pack(">IIBBBBB", 6, 6, 16, 2, 0, 0, 0)
    ends = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


def _deep_tiff() -> bytes:
    """6x6 pixels of three channels of 16 bits."""
    tags = [
        (256, 3, 1, 6), (257, 3, 1, 6), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 300), (277, 3, 1, 3), (278, 3, 1, 6), (279, 4, 1, 216),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    text = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    return text.ljust(200, b"\0") + struct.pack("<HHH", 16, 16, 16).ljust(100, b"\0") + bytes(216)


def _deep_jp2() -> bytes:
    """A picture of JPEG 2000 whose header says 12 bits."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(file, "JPEG2000")
    text = bytearray(file.getvalue())
    place = text.find(b"\xff\x51") + 40
    text[place] = text[place + 3] = text[place + 6] = 11
    return bytes(text)


DEEP = {
    "png": _deep_png(), "tif": _deep_tiff(), "ppm": b"P6 6 6 65535\n" + bytes(216),
    "jp2": _deep_jp2(),
}  # fmt: skip
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


def test_limit_of_a_sorted_test_part_takes_every_class():
    parts = {**arrays(60), "y_test": np.sort(np.arange(30) % 3)}
    assert np.bincount(data.from_arrays(**parts, limit=50).test.labels).tolist() == [4, 3, 3]
    assert np.bincount(data.from_arrays(**parts, limit=10).test.labels).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y_test": np.zeros(12, int)}, "class '1' has no image in the test part"),
        ({"y_train": np.r_[np.arange(20) % 3, 0, 1, 0, 1]}, ""),
        ({"y_train": np.r_[[2] * 4, np.arange(20) % 2]}, "absent from the validation half"),
    ],
)
def test_every_part_has_every_class(changes, message):
    parts = {**arrays(), **changes}
    if message:
        with refused(message):
            data.from_arrays(**parts)
    else:
        assert len(np.unique(data.from_arrays(**parts).valid.labels)) == 3


def test_halves_that_are_nearly_sorted_are_refused():
    labels = np.sort(np.arange(120) % 2)
    labels[[0, -1]] = labels[[-1, 0]]
    parts = arrays(120)
    with refused("has 1 of 60 images in one half, 59 of 60 in the other: .* set split_seed"):
        data.from_arrays(parts["x_train"], labels, parts["x_test"], np.arange(60) % 2)


def test_a_stratified_part_has_rare_classes_too():
    labels = np.repeat([0, 1, 2], [50, 45, 3])
    for seed in range(5):
        remaining, held = splits.stratified_split(labels, 6, "set", seed, minimum=2)
        assert np.bincount(labels[held]).min() == 1 and len(held) == 6
        assert np.bincount(labels[remaining]).tolist()[2] == 2
        assert sorted([*remaining, *held]) == list(range(98))


def test_an_opaque_alpha_channel_is_dropped():
    parts = arrays(channels=3)
    alpha = lambda x, value: np.concatenate([x, np.full_like(x[..., :1], value)], -1)
    opaque = {k: alpha(x, 255) if k[0] == "x" else x for k, x in parts.items()}
    assert data.from_arrays(**opaque).digest == data.from_arrays(**parts).digest


def test_signals_are_no_channels_first_and_layout_decides_where_both_are_possible():
    parts = arrays()
    shaped = lambda *shape: {
        k: np.resize(x, (len(x), *shape)) if k[0] == "x" else x for k, x in parts.items()
    }
    assert data.from_arrays(**shaped(1, 32, 6)).train.inputs.shape[1:] == (1, 32, 6)
    for shape in ((1, 28, 28), (3, 32, 32), (4, 32, 32), (1, 28, 32)):
        with refused("channels first; transpose.*layout='NHWC'"):
            data.from_arrays(**shaped(*shape))
        same = data.from_arrays(**shaped(*shape), layout="NHWC")
        assert same.train.inputs.shape[1:] == shape
        first = data.from_arrays(**shaped(*shape), layout="NCHW")
        assert first.train.inputs.shape[1:] == (*shape[1:], shape[0])


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
    # All are counted, those that would be tested on too.
    with refused("11 of 6x6 .*, 1 of 12x9 .cat/0.png.; set image_size to scale all"):
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


@pytest.mark.parametrize("train, test", [("train", "Test"), ("Training", "testing")])
def test_folder_parts_may_be_written_otherwise(tmp_path, train, test):
    root = painted(tmp_path, classes(f"{train}/", 6) | classes(f"{test}/", 2))
    dataset = data.load(str(root))
    assert len(data.merge_train(dataset).labels) == 12 and len(dataset.test.labels) == 4


def test_folder_val_beside_test_is_the_architectures_half(tmp_path):
    files = classes("train/", 6) | classes("Val/", 4) | classes("test/", 2)
    root = painted(tmp_path, files)
    dataset = data.load(str(root))
    assert [len(p.labels) for p in (dataset.train, dataset.valid, dataset.test)] == [12, 8, 4]
    assert dataset.own_valid
    with PIL.Image.open(root / "Val/dog/1.png") as image:
        np.testing.assert_array_equal(dataset.valid.inputs[3], np.asarray(image))
    limited = data.load(str(root), limit=10)
    assert [len(p.labels) for p in (limited.train, limited.valid, limited.test)] == [6, 4, 2]
    with refused("validation part of its own: split_seed"):
        data.load(str(root), split_seed=0)


def test_folder_val_without_test_is_the_test_part(tmp_path):
    dataset = data.load(str(painted(tmp_path, classes("train/", 6) | classes("val/", 2))))
    assert len(dataset.test.labels) == 4 and not dataset.own_valid


@pytest.mark.parametrize(
    "more, message",
    [
        ("extra/", "the folders extra beside train are none of"),
        ("train2/", "the folders train2 beside train"),
        ("Train/", "Train and train are the same part"),
        ("test/cat/more/", "more: no picture but a folder; pictures lie one folder deeper"),
    ],
)
def test_folder_parts_that_nobody_would_read_are_refused(tmp_path, more, message):
    with refused(message):
        data.load(str(painted(tmp_path, classes("train/", 6) | classes(more, 2))))


@pytest.mark.parametrize("name", ["train", "Test", "val"])
def test_a_class_may_be_called_as_a_part(tmp_path, name):
    files = classes("", 6) | {f"{name}/{i}.png": ("RGB", (6, 6)) for i in range(6)}
    dataset = data.load(str(painted(tmp_path, files)))
    assert sorted(dataset.class_names) == sorted(["cat", "dog", name])


def test_folder_classes_of_unequal_size_are_in_every_part_in_proportion(tmp_path):
    counts = {"a": 24, "b": 12, "c": 4}
    files = {f"{n}/{i}.png": ("L", (4, 4)) for n, count in counts.items() for i in range(count)}
    dataset = data.load(str(painted(tmp_path, files)))
    counted = [np.bincount(p.labels) for p in (dataset.train, dataset.valid, dataset.test)]
    assert counted[2].tolist() == [3, 2, 1]
    assert np.abs(counted[0] - counted[1]).max() <= 2 and min(map(min, counted)) >= 1


def test_folder_of_classes_of_two_images_has_none_to_test_with(tmp_path):
    files = classes("", 9) | {f"cow/{i}.png": ("RGB", (6, 6)) for i in range(2)}
    with refused("class 'cow' has 2 images, and .* give a test part"):
        data.load(str(painted(tmp_path, files)))


def test_what_systems_leave_in_folders_is_passed_over(tmp_path):
    root = painted(tmp_path, classes("", 6))
    for name in ("__MACOSX/cat/._0.png", "cat/Thumbs.db", "desktop.ini", "dog/@eaDir/0.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no picture")
    assert data.load(str(root)).class_names == ("cat", "dog")


@pytest.mark.parametrize("deep", ["Images/", "a/b/"])
def test_folder_one_level_too_high_is_refused_with_the_right_one(tmp_path, deep):
    with refused("pictures lie one folder deeper: give .*, or move"):
        data.load(str(painted(tmp_path, classes(deep, 6))))


def test_a_file_of_another_format_starts_no_program(tmp_path, monkeypatch):
    root = painted(tmp_path / "set", classes("", 6))
    (root / "cat" / "9.eps").write_bytes(EPS)
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with refused("9.eps: no picture that can be read .of none of the formats PNG"):
        data.load(str(root))
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm", "jp2"])
def test_folder_of_more_than_8_bits_of_colour_is_refused(tmp_path, suffix):
    root = painted(tmp_path, classes("", 6))
    path = root / "cat" / f"9.{suffix}"
    path.write_bytes(DEEP[suffix])
    with refused(rf"9.{suffix}: (has 1\d bits a channel|no picture)"):
        data.load(str(root))


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_files_of_several_pictures_are_refused(tmp_path, suffix):
    root = painted(tmp_path, classes("", 6, "L"))
    pages = [PIL.Image.fromarray(np.full((6, 6), 60 * i, np.uint8)) for i in range(3)]
    pages[0].save(root / "cat" / f"9.{suffix}", save_all=True, append_images=pages[1:])
    with refused(rf"9.{suffix}: holds 3 pictures"):
        data.load(str(root))


def test_a_damaged_exif_block_is_no_ado(tmp_path):
    root = painted(tmp_path, classes("", 6))
    exif = b"Exif\0\0II*\0\x08\0\0\0\x40\0\x12\x01"
    with PIL.Image.open(root / "cat/0.png") as image:
        image.save(root / "cat/0.jpg", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.load(str(root)).test.labels) == 2


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
