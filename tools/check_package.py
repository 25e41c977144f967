"""Builds the sdist, from it the wheel, and runs the installed wheel outside of the checkout.

python tools/check_package.py --python .venv/bin/python

The Python given by `--python` has the dependencies; nothing is downloaded but what builds the
package. Ends with 1 and the reason where a file is missing or a command fails.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
IN_SDIST = (
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md", "constraints.txt",
    "pyproject.toml", "requirements.txt",
)  # fmt: skip
# Each is run by `python -m jaxnas` in an empty folder.
COMMANDS = ("--version", "methods", "spaces nasbench201", "draw DARTS_V2 --out pictures")


def build(out: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """(sdist, wheel made from it) in `out`."""
    installer = ["--installer", "uv"] if shutil.which("uv") else []
    command = [sys.executable, "-m", "build", *installer, "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def missing(sdist: pathlib.Path, wheel: pathlib.Path) -> list[str]:
    """Files that belong into the archives and are in neither."""
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    command = ["git", "-C", str(ROOT), "ls-files", "jaxnas"]
    listed = subprocess.run(command, capture_output=True, text=True)
    files = listed.stdout.split() if listed.returncode == 0 else []
    if not files:  # a copy of the checkout
        paths = (p for p in (ROOT / "jaxnas").rglob("*") if p.is_file())
        files = [str(p.relative_to(ROOT)) for p in paths if "__pycache__" not in p.parts]
    absent = [f"{name} (wheel)" for name in files if name not in in_wheel]
    return absent + [f"{n} (sdist)" for n in (*files, *IN_SDIST) if n not in in_sdist]


def smoke(wheel: pathlib.Path, python: str, folder: pathlib.Path) -> None:
    """Installs the wheel alone and runs COMMANDS with it. Raises CalledProcessError."""
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *alone], check=True)
    empty = folder / "empty"
    empty.mkdir()
    environment = os.environ | {"PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    where = "import jaxnas, sys; sys.exit(not jaxnas.__file__.startswith(sys.argv[1]))"
    for command in (["-c", where, str(target)], *(["-m", "jaxnas", *c.split()] for c in COMMANDS)):
        print("--", *command[-4:], flush=True)
        subprocess.run(
            [python, *command], cwd=empty, env=environment, check=True, stdout=subprocess.DEVNULL
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="with the dependencies installed")
    python = os.path.abspath(parser.parse_args().python)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sdist, wheel = build(folder)
        if absent := missing(sdist, wheel):
            print(f"missing: {', '.join(absent)}", file=sys.stderr)
            return 1
        smoke(wheel, python, folder)
        print(f"{wheel.name} ({wheel.stat().st_size >> 10} KiB) runs with {python}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
