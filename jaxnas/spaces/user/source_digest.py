"""The digest of a user's Python file, with those of the modules beside it."""

import ast
import hashlib
import pathlib
import sys


def digest(path: str) -> str:
    """SHA-256 of the file at `path`, and of the modules beside it that it imports."""
    digests, files = hashlib.sha256(), [pathlib.Path(path)]
    for file in files:  # which grows
        digests.update(file.read_bytes())
        files += [module for module in _imported_beside(file) if module not in files]
    return digests.hexdigest()


def _imported_beside(file: pathlib.Path) -> list[pathlib.Path]:
    """The files in the folder of a file of Python that its import statements name."""
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    beside = [file.parent / f"{name.partition('.')[0]}.py" for name in names]
    own = lambda path: getattr(sys.modules.get(path.stem), "__file__", None) == str(path.resolve())
    return [path for path in dict.fromkeys(beside) if path.is_file() and own(path)]
