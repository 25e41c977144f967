"""The file of a fitted model: JSON of a format and a version, checked when loaded."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

Model = TypeVar("Model")  # with the name of its `device`
BROKEN = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


class ModelFileError(ValueError):
    """Not the file of a model, or one of another device or space: the message is one line."""


def load(
    path: Path,
    form: str,
    versions: Collection[int],
    build: Callable[[dict[str, Any]], Model],
    device: str | None = None,
) -> Model:
    """`build(record)` of a file of the format `form`; of the given device, if any.

    Raises ModelFileError, also for whatever of BROKEN `build` raises.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"Cannot read {path}: {error.strerror}. Fit a model first.") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is no JSON ({error}): fit again.") from error
    if not isinstance(record, dict) or record.get("format") != form:
        raise ModelFileError(f'{path} is not of the format "{form}": give the file of a fit.')
    if record.get("version") not in versions:
        raise ModelFileError(
            f"{path} is version {record.get('version')!r}; this jaxnas reads "
            f"{' and '.join(map(str, versions))}."
        )
    try:
        model = build(record)
    except BROKEN as error:
        raise ModelFileError(f"{path} holds no whole model ({error}): fit again.") from error
    if device is not None and model.device != device:
        raise ModelFileError(f"{path} was fitted on {model.device!r}, not on {device!r}: fit anew.")
    return model
