"""Claims about sets that TensorFlow Datasets has prepared.

Small sets are written here as TFDS writes them: array_record files of tf.train.Example with
their JSON descriptions. (TFDS's own writer of images needs TensorFlow.)
"""

import io
import json
import pathlib
import socket
import sys

import numpy as np
import PIL.Image
import pytest
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_generated_pb2

from jaxnas import data
from jaxnas.data import tfds
from tests import paths

SHARED = paths.SHARED / "data"
FEATURES = "tensorflow_datasets.core.features"


def refused(message: str):
    """One line that says `message`."""
    return pytest.raises(data.DataError, match=rf"(?i)\A(?=.*{message})[^\n]+\Z")


def png(value: int, size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", size, (value, value, 255 - value)).save(file, "PNG")
    return file.getvalue()


def example(image: bytes, label: int, name: bytes | None) -> bytes:
    made = tf_example_generated_pb2.Example()
    made.features.feature["image"].bytes_list.value.append(image)
    made.features.feature["label"].int64_list.value.append(label)
    if name is not None:
        made.features.feature["id"].bytes_list.value.append(name)
    return made.SerializeToString()


def write(
    root: pathlib.Path,
    splits: dict[str, list[tuple]],
    count: int = 2,
    dtype: str = "uint8",
    file_format: str = "array_record",
) -> None:
    """The set `tiny` under `root`; a record is (png, label, id or None)."""
    folder = root / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    image = {"image": {"dtype": dtype, "shape": {"dimensions": ["-1", "-1", "3"]}}}
    label = {"classLabel": {"numClasses": str(count)}}
    fields = {
        "image": {"pythonClassName": f"{FEATURES}.image_feature.Image", **image},
        "label": {"pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel", **label},
    }
    if next(iter(splits.values()))[0][2] is not None:
        fields["id"] = {"pythonClassName": f"{FEATURES}.text_feature.Text", "text": {}}
    features = {
        "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": fields},
    }
    (folder / "features.json").write_text(json.dumps(features))
    infos = []
    for split, rows in splits.items():
        path = folder / f"tiny-{split}.{file_format}-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for row in rows:
            writer.write(example(*row))
        writer.close()
        infos.append(
            {
                "name": split,
                "shardLengths": [str(len(rows))],
                "numBytes": "1",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": file_format, "splits": infos}
    (folder / "dataset_info.json").write_text(json.dumps(info))


def rows(labels: list[int], named: bool = False, start: int = 0) -> list[tuple]:
    """Records of different pixels, stored backwards where they have an id that tells."""
    made = [
        (png(start + i), label, b"row_%d" % i if named else None) for i, label in enumerate(labels)
    ]
    return made[::-1] if named else made


def test_records_come_in_the_order_of_their_id(tmp_path):
    write(tmp_path, {"train": rows([0, 1] * 6, named=True), "test": rows([0, 1], named=True)})
    found = data.load("tiny", data_dir=tmp_path)
    assert data.merge_train(found).inputs[:, 0, 0, 0].tolist() == list(range(12))
    assert data.merge_train(found).labels.tolist() == [0, 1] * 6


def test_records_without_an_id_stay_as_stored(tmp_path):
    write(tmp_path, {"train": rows([0, 1] * 6), "test": rows([0, 1], start=100)})
    found = data.load("tiny", data_dir=tmp_path)
    assert data.merge_train(found).inputs[:, 0, 0, 0].tolist() == list(range(12))
    assert found.test.inputs[:, 0, 0, 0].tolist() == [100, 101]


def test_classes_that_no_image_bears_are_left_out(tmp_path):
    write(tmp_path, {"train": rows([1, 3] * 6), "test": rows([3, 1])}, count=5)
    found = data.load("tiny", data_dir=tmp_path)
    assert found.class_names == ("1", "3")
    assert found.test.labels.tolist() == [1, 0]


def test_validation_stands_in_for_a_test_split_without_labels(tmp_path):
    train, blind, open_ = rows([0, 1] * 6), rows([-1, -1]), rows([1, 1, 0], start=100)
    write(tmp_path, {"train": train, "test": blind, "validation": open_})
    assert data.load("tiny", data_dir=tmp_path).test.labels.tolist() == [1, 1, 0]


def test_a_set_without_test_split_holds_out_a_sixth(tmp_path):
    write(tmp_path, {"train": rows([0, 1] * 9)})
    found = data.load("tiny", data_dir=tmp_path)
    assert (len(data.merge_train(found).labels), len(found.test.labels)) == (15, 3)


def test_images_of_several_sizes_need_image_size(tmp_path):
    wide = [(png(9, (7, 5)), 0, None)]
    write(tmp_path, {"train": rows([0, 1] * 6) + wide, "test": rows([0, 1])})
    with refused("14 of 4x4 .image 0, .*, 1 of 5x7 .image 12.; set image_size"):
        data.load("tiny", data_dir=tmp_path)
    found = data.load("tiny", data_dir=tmp_path, image_size=3)
    assert found.valid.inputs.shape == (7, 3, 3, 3)


def test_one_split_streams_without_being_read_into_memory(tmp_path):
    write(tmp_path, {"train": rows([0, 1] * 6, named=True)})
    inputs, labels = data.stream(tfds.open_split("tiny", "train", tmp_path), 0, 5)(3)
    np.testing.assert_array_equal(inputs[:, 0, 0, 0] % 2, labels)


@pytest.mark.parametrize(
    "made, message",
    [
        ({"splits": {"other": rows([0, 1])}}, "a `train` split is needed"),
        ({"splits": {"train": rows([-1, 0])}}, "training records without a label"),
        ({"splits": {"train": rows([0, 1] * 6), "test": rows([2])}, "count": 3}, "has a class"),
        ({"splits": {"train": rows([0, 1])}, "dtype": "uint16"}, "its images are uint16"),
        ({"splits": {"train": rows([0, 1])}, "file_format": "tfrecord"}, "file_format='array_rec"),
        ({"splits": {"train": [(b"no png", 0, None), (png(1), 1, None)] * 6}}, "no picture that"),
    ],
)
def test_sets_that_cannot_be_used_are_refused(tmp_path, made, message):
    write(tmp_path, **made)
    with refused(message):
        data.load("tiny", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_truncated_description_is_refused(tmp_path, name):
    write(tmp_path, {"train": rows([0, 1] * 6)})
    path = tmp_path / "tiny" / "1.0.0" / name
    path.write_bytes(path.read_bytes()[:40])
    with refused("tiny"):
        data.load("tiny", data_dir=tmp_path)


@pytest.mark.parametrize("keep", [None, 0, 70_000])
def test_a_missing_or_truncated_record_file_is_refused(tmp_path, keep):
    write(tmp_path, {"train": rows([0, 1] * 400)})
    (path,) = (tmp_path / "tiny" / "1.0.0").glob("*array_record*")
    content = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(content[:keep])
    with refused("split 'train' in .* cannot be read .*; copy it again"):
        data.load("tiny", data_dir=tmp_path)


@pytest.mark.skipif(not (SHARED / "tfds" / "cifar10").is_dir(), reason="no ../shared/data/tfds")
def test_cifar10_comes_in_its_original_order_without_network_or_tensorflow(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    found = data.load("cifar10", data_dir=SHARED / "tfds", limit=300)
    with np.load(SHARED / "cifar10_mini.npz", allow_pickle=False) as published:
        np.testing.assert_array_equal(data.merge_train(found).inputs, published["x_train"][:300])
        np.testing.assert_array_equal(data.merge_train(found).labels, published["y_train"][:300])
        np.testing.assert_array_equal(found.test.inputs, published["x_test"][:60])
    assert found.class_names[:3] == ("airplane", "automobile", "bird")
    assert "tensorflow" not in sys.modules
