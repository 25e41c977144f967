"""`jaxnas --version`."""

import importlib.metadata


def version() -> str:
    """The installed version, or `(not installed)` for a bare checkout."""
    try:
        return importlib.metadata.version("jaxnas")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
