"""Installs the lowest versions that requirements.txt allows, and searches and tests with them.

python tools/check_lower_bounds.py --python 3.11 --python 3.13

For each Python a fresh environment, in a temporary folder. Needs uv and the package index; some
minutes of two cores each. Run it after a change of requirements.txt. Ends with 1 at the first
failure.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEARCH = "-m jaxnas search --epochs 1 --random-cells 0 --retrain.epochs 1 --limit 300"
# Where versions matter most: checkpoints, the command line, images, fits, pictures. Old versions
# may warn of what newer ones of others have deprecated: there warnings are no errors.
TESTS = (
    "tests/run/test_checkpoint.py", "tests/pipelines/test_command_line.py",
    "tests/data/test_tfds.py", "tests/hardware/predict/test_regression.py",
    "tests/report/test_draw_cell.py",
)  # fmt: skip


def check(version: str, folder: pathlib.Path) -> None:
    """Raises CalledProcessError for a Python with which the lowest versions do not do."""
    python, pins = folder / "venv" / "bin" / "python", folder / "lowest.txt"

    def call(*command: str) -> None:
        print("--", *command, flush=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, cwd=folder, env=environment)

    call("uv", "venv", "-q", "-p", version, str(folder / "venv"))
    lowest = ("--resolution", "lowest-direct", "-p", version, "--no-annotate")
    call("uv", "pip", "compile", "-q", *lowest, str(ROOT / "requirements.txt"), "-o", str(pins))
    # Wheels alone, but for a library that has none: old versions seldom build on a new Python.
    wheels = ("--only-binary", ":all:", "--no-binary", "promise")
    tests = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "chex")
    call("uv", "pip", "install", "-q", *wheels, "-p", str(python), "-r", str(pins), *tests)
    call(str(python), *SEARCH.split())
    files = (str(ROOT / test) for test in TESTS)
    quiet = ("-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-o", "filterwarnings=")
    call(str(python), "-m", "pytest", *quiet, *files)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", action="append", help="a version or a path; again for more")
    for version in parser.parse_args().python or ["3.11", "3.13"]:
        with tempfile.TemporaryDirectory() as name:
            try:
                check(version, pathlib.Path(name))
            except subprocess.CalledProcessError as error:
                print(f"Python {version}: exit code {error.returncode}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
