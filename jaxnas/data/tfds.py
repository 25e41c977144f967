"""A data set that TensorFlow Datasets has prepared on this disk; never from the network."""

import contextlib
import difflib
import io
import pathlib
import re
from typing import Any

import numpy as np

from jaxnas.data import dataset, image_io
from jaxnas.data.images import DataError
from jaxnas.data.lazy_images import LazyImages

# A name with a namespace ("huggingface:mnist") would be looked up on the network.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")


def read(name: str, data_dir: str | None) -> dataset.Splits:
    """Splits `train` and `test` (or `validation`, where test has no labels) by TFDS name.

    Order: by the record field `id` where there is one (CIFAR's is the place in the original
    files), else as stored. Classes that no training record bears are left out and the
    labels numbered anew (EMNIST letters). Needs no TensorFlow. Raises DataError where the
    set is unknown, not prepared, stored as TFRecord, or does not classify images.
    """
    builder = _builder(name, data_dir)
    splits = builder.info.splits
    if "train" not in splits:
        raise DataError(f"{name}: its splits are {', '.join(splits)}; a `train` split is needed.")
    train = records(name, "train", data_dir)
    tests = (records(name, each, data_dir) for each in ("test", "validation") if each in splits)
    # Competitions publish a test split whose labels are all -1 (ImageNet).
    test = next((each for each in tests if each.labels.min(initial=0) >= 0), None)
    names = builder.info.features[_keys(builder)[1]].names
    used = np.unique(train.labels)
    if len(used) and used[0] < 0:
        raise DataError(f"{name}: training records without a label; use another set or config.")
    if test is not None and not np.isin(test.labels, used).all():
        raise DataError(f"{name}: the test part has a class that no training image bears.")
    renumber = [part and part._replace(labels=_ranks(part.labels, used)) for part in (train, test)]
    return dataset.Splits(name, *renumber, tuple(names[label] for label in used))


def records(name: str, split: str, data_dir: str | None = None) -> LazyImages:
    """One split, its images unread: for `stream`, where a set does not fit into memory."""
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    image_key, label_key = _keys(builder)
    channels = builder.info.features[image_key].shape[-1]
    # Pillow decodes for us too: TFDS would take OpenCV where it finds it, with other JPEG pixels.
    decoders = {image_key: tfds.decode.SkipDecoding()}
    try:
        source = builder.as_data_source(split=split, decoders=decoders)
        labels, order = _order(source, label_key)
    except NotImplementedError as error:
        raise DataError(
            f"{name}: prepared as {builder.info.file_format.name}, without random access; "
            f"{_how_to_prepare(name, data_dir)}"
        ) from error
    except Exception as error:  # array_record raises whatever its C++ side met
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
        raise DataError(f"{name!r} is no data set; {_possible(name, data_dir)}")
    try:
        # TFDS prints a banner where TensorFlow is missing, and logs what we say ourselves.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(f"{name!r} is no data set; {_possible(name, data_dir)}") from error
    except ImportError as error:
        raise DataError(
            f"{name}: TFDS cannot read this set without TensorFlow ({error})."
        ) from error
    except (ValueError, AssertionError, OSError, KeyError, json_format.ParseError) as error:
        cause = re.sub(r'^Failed to construct.*?": ', "", str(error).splitlines()[0]).rstrip(" .:")
        raise DataError(f"{name}: {cause}. {_possible(name, data_dir)}") from error
    if not builder.is_prepared():
        raise DataError(
            f"{name} is not prepared in {builder.data_path}; {_how_to_prepare(name, data_dir)}"
        )
    return builder


def _how_to_prepare(name: str, data_dir: str | None) -> str:
    where = "" if data_dir is None else f", data_dir={str(data_dir)!r}"
    return (
        "with network and TensorFlow (which writing images needs, reading does not): "
        "pip install tensorflow tensorflow-datasets importlib_resources && python -c "
        f'"import tensorflow_datasets as tfds; tfds.builder({name!r}{where}, '
        "file_format='array_record').download_and_prepare()\""
    )


def _possible(name: str, data_dir: str | None) -> str:
    import tensorflow_datasets as tfds

    known = ["digits", *tfds.list_builders(with_community_datasets=False)]
    close = [] if re.split("[/:]", name)[0] in known else difflib.get_close_matches(name, known)
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    ready = sorted({path.parents[1].name for path in root.glob("*/*/dataset_info.json")})
    return (
        (f"did you mean {' or '.join(close)}? " if close else "")
        + "Possible: digits, the path of a .npz file or of a folder of class folders, or the name "
        + f"of a TFDS set prepared in {root} (there now: {', '.join(ready) or 'none'})."
    )


def _keys(builder: Any) -> tuple[str, str]:
    """Names of the one image and the one label of a record."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    images = [key for key, each in found.items() if isinstance(each, tfds.features.Image)]
    labels = [key for key, each in found.items() if isinstance(each, tfds.features.ClassLabel)]
    supervised = builder.info.supervised_keys or ()
    # Sets with a second labelling (CIFAR-100's coarse one) say which is the usual.
    labels = [key for key in labels if key in supervised] or labels
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{builder.info.name}: does not classify images (its fields: {', '.join(found)}); "
            "one Image and one ClassLabel are needed."
        )
    image = features[images[0]]
    if np.dtype(image.np_dtype) != np.uint8 or image.shape[-1] not in (1, 3):
        raise DataError(
            f"{builder.info.name}: its images are {np.dtype(image.np_dtype)}{list(image.shape)}; "
            "only uint8 of 1 or 3 channels can be read."
        )
    return images[0], labels[0]


def _order(source: Any, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as stored, and the order by `id`."""
    labels, ids = [], []
    for start in range(0, len(source), 1024):
        for record in source.__getitems__(range(start, min(start + 1024, len(source)))):
            labels.append(record[label_key])
            ids.append(record.get("id"))
    order = np.arange(len(labels))
    if all(isinstance(each, bytes) for each in ids) and len(set(ids)) == len(ids):
        order = np.array(sorted(order, key=lambda i: _natural(ids[i])), np.int64)
    return np.asarray(labels, np.int32), order


def _natural(name: bytes) -> list[tuple[int, bytes]]:
    """Digits compare as numbers, so that `x_9` comes before `x_10`."""
    return [
        (int(part), b"") if part.isdigit() else (-1, part) for part in re.split(rb"(\d+)", name)
    ]


def _ranks(labels: np.ndarray, used: np.ndarray) -> np.ndarray:
    return np.searchsorted(used, labels).astype(np.int32)
