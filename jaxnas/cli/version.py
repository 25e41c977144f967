"""`jaxnas --version`."""

import importlib.metadata


def version() -> str:
    """The version that is installed, or `(not installed)` for a bare checkout."""
    try:
        return importlib.metadata.version("jaxnas")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
