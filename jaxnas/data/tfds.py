"""Reader of data sets that TensorFlow Datasets has prepared on this disk, without network."""

import contextlib
import io
import pathlib
import re
from typing import Any

import numpy as np

from jaxnas.core import names as names_of
from jaxnas.data import dataset, image_io
from jaxnas.data.images import DataError
from jaxnas.data.lazy_images import LazyImages

# A name with a namespace ("huggingface:mnist") would be looked up on the network.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")


def read(name: str, data_dir: str | None) -> dataset.Splits:
    """Splits `train` and `test` (or `validation`, where `test` has no labels) of a TFDS set.

    Order: by the record field `id` where there is one (CIFAR's is the place in the original
    files), else as stored. Classes without a training record are left out and the labels
    renumbered (EMNIST letters). Needs no TensorFlow. Raises DataError where the set is unknown,
    not prepared, stored as TFRecord, or does not classify images.
    """
    builder = _builder(name, data_dir)
    splits = builder.info.splits
    if "train" not in splits:
        raise DataError(f"{name}: its splits are {', '.join(splits)}; a `train` split is needed.")
    train = open_split(name, "train", data_dir)
    test_names = [split for split in ("test", "validation") if split in splits]
    tests = (open_split(name, split, data_dir) for split in test_names)
    # Competitions publish a test split whose labels are all -1 (ImageNet).
    test = next((images for images in tests if images.labels.min(initial=0) >= 0), None)
    names = builder.info.features[_record_keys(builder)[1]].names
    used = np.unique(train.labels)
    if len(used) and used[0] < 0:
        raise DataError(f"{name}: training records without a label; use another set or config.")
    if test is not None and not np.isin(test.labels, used).all():
        raise DataError(f"{name}: the test part has a class that no training image bears.")
    renumbered = [
        images and images._replace(labels=np.searchsorted(used, images.labels).astype(np.int32))
        for images in (train, test)
    ]
    return dataset.Splits(name, *renumbered, tuple(names[label] for label in used))


def open_split(name: str, split: str, data_dir: str | None = None) -> LazyImages:
    """One split, its images unread: for `stream`, where a set does not fit into memory.

    Raises DataError as `read` does, and where the files cannot be read.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    image_key, label_key = _record_keys(builder)
    channels = builder.info.features[image_key].shape[-1]
    # Pillow decodes for us too: TFDS would take OpenCV where it finds it, with other JPEG pixels.
    decoders = {image_key: tfds.decode.SkipDecoding()}
    try:
        source = builder.as_data_source(split=split, decoders=decoders)
        labels, order = _labels_and_order(source, label_key)
    except NotImplementedError as error:
        raise DataError(
            f"{name}: prepared as {builder.info.file_format.name}, without random access; "
            f"{_how_to_prepare(name, data_dir)}"
        ) from error
    except Exception as error:  # array_record raises all kinds of errors of its C++ code
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{name}: split {split!r} in {builder.data_path} cannot be read ({cause}); "
            "copy it again or prepare it anew."
        ) from error

    def fetch(i: int) -> np.ndarray:
        return image_io.decode(source[int(order[i])][image_key], channels, f"{name} {split}[{i}]")

    return LazyImages(labels[order], fetch)


def _builder(name: str, data_dir: str | None) -> Any:
    try:
        import tensorflow_datasets as tfds
        from google.protobuf import json_format
    except ImportError as error:
        raise DataError(
            f"{name!r} is read through TensorFlow Datasets, but {error}: "
            "pip install tensorflow-datasets importlib_resources."
        ) from error
    if not NAME.fullmatch(name):
        raise DataError(f"{name!r} is no data set; {_possible_names(name, data_dir)}")
    try:
        # TFDS prints a banner without TensorFlow, and logs what our messages say.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(f"{name!r} is no data set; {_possible_names(name, data_dir)}") from error
    except ImportError as error:
        raise DataError(
            f"{name}: TFDS cannot read this set without TensorFlow ({error})."
        ) from error
    except (ValueError, AssertionError, OSError, KeyError, json_format.ParseError) as error:
        cause = re.sub(r'^Failed to construct.*?": ', "", str(error).splitlines()[0]).rstrip(" .:")
        raise DataError(f"{name}: {cause}. {_possible_names(name, data_dir)}") from error
    if not builder.is_prepared():
        raise DataError(
            f"{name} is not prepared in {builder.data_path}; {_how_to_prepare(name, data_dir)}"
        )
    return builder


def _how_to_prepare(name: str, data_dir: str | None) -> str:
    data_dir_argument = "" if data_dir is None else f", data_dir={str(data_dir)!r}"
    return (
        "with network and TensorFlow (which writing images needs, reading does not): "
        "pip install tensorflow tensorflow-datasets importlib_resources && python -c "
        f'"import tensorflow_datasets as tfds; tfds.builder({name!r}{data_dir_argument}, '
        "file_format='array_record').download_and_prepare()\""
    )


def _possible_names(name: str, data_dir: str | None) -> str:
    """Suggestions for messages: similar names, and the prepared sets."""
    import tensorflow_datasets as tfds

    names = ["digits", *tfds.list_builders(with_community_datasets=False)]
    close = [] if re.split("[/:]", name)[0] in names else names_of.alike(name, names)
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    prepared = sorted({path.parents[1].name for path in root.glob("*/*/dataset_info.json")})
    return (
        (f"did you mean {' or '.join(close)}? " if close else "")
        + "Possible: digits, the path of a .npz file or of a folder of class folders, or the name "
        + f"of a TFDS set prepared in {root} (there now: {', '.join(prepared) or 'none'})."
    )


def _record_keys(builder: Any) -> tuple[str, str]:
    """The fields of the image and of the label of a record. Raises DataError unless one each."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    fields = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    images = [key for key, field in fields.items() if isinstance(field, tfds.features.Image)]
    labels = [key for key, field in fields.items() if isinstance(field, tfds.features.ClassLabel)]
    supervised = builder.info.supervised_keys or ()
    # Sets with a second labelling (CIFAR-100's coarse one) name the usual one here.
    labels = [key for key in labels if key in supervised] or labels
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{builder.info.name}: does not classify images (its fields: {', '.join(fields)}); "
            "one Image and one ClassLabel are needed."
        )
    image = features[images[0]]
    if np.dtype(image.np_dtype) != np.uint8 or image.shape[-1] not in (1, 3):
        raise DataError(
            f"{builder.info.name}: its images are {np.dtype(image.np_dtype)}{list(image.shape)}; "
            "only uint8 of 1 or 3 channels can be read."
        )
    return images[0], labels[0]


def _labels_and_order(source: Any, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as stored, and the indices of the records in the order of `id`."""
    labels, ids = [], []
    for start in range(0, len(source), 1024):
        for record in source.__getitems__(range(start, min(start + 1024, len(source)))):
            labels.append(record[label_key])
            ids.append(record.get("id"))
    order = np.arange(len(labels))
    if all(isinstance(value, bytes) for value in ids) and len(set(ids)) == len(ids):
        order = np.array(sorted(order, key=lambda i: _natural_sort_key(ids[i])), np.int64)
    return np.asarray(labels, np.int32), order


def _natural_sort_key(name: bytes) -> list[tuple[int, bytes]]:
    """A key for sorting by which `x_9` comes before `x_10`: digits compare as numbers."""
    return [
        (int(part), b"") if part.isdigit() else (-1, part) for part in re.split(rb"(\d+)", name)
    ]
