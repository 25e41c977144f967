"""A small package of another author, which registers spaces and methods with jaxnas."""

import pathlib
import subprocess
import sys
import zipfile

SPACE = '''"""Two nodes, of two operations."""
from jaxnas import space

SPACE = space.darts(nodes=1, candidates=("skip_connect", "sep_conv_3x3"))
'''
PARTS = '''
from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms
from jaxnas.spaces import registry


def smooth(net, *, epochs=50, steps_per_epoch, smoothing=0.1, optimisers=Optimisers()):
    """DARTS with smoothed labels."""
    txs = transforms(optimisers, epochs, steps_per_epoch)
    return search.bilevel(net, relax.softmax(), terms.cross_entropy(smoothing=smoothing), txs)


def grid(cells=None):
    return registry.get("nasbench201", cells)


SMOOTHER = entry.single_stage("Smoother", smooth, quick={"smoothing": 0.3})
unfinished = lambda cells: 3
failing = lambda cells: {}[cells]
'''
ENTRY_POINTS = """[jaxnas.spaces]
my-cells = my_parts.cells
my-grid = my_parts.parts:grid
broken = my_parts.broken
failing = my_parts.parts:failing
unfinished = my_parts.parts:unfinished
darts = my_parts.cells

[jaxnas.methods]
smooth = my_parts.parts:smooth
smoother = my_parts.parts:SMOOTHER
broken = my_parts.broken:method
"""
FILES = {
    "my_parts/__init__.py": "",
    "my_parts/cells.py": SPACE,
    "my_parts/parts.py": PARTS,
    "my_parts/broken.py": "import no_such_library\n",
    "my_parts-0.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-parts\nVersion: 0.3\n",
    "my_parts-0.3.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
    "Tag: py3-none-any\n",
    "my_parts-0.3.dist-info/entry_points.txt": ENTRY_POINTS,
    "my_parts-0.3.dist-info/RECORD": "",
}


def installed(folder: pathlib.Path) -> pathlib.Path:
    """The folder that pip installs the package's wheel to, within `folder`."""
    wheel = folder / "my_parts-0.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    quiet = ["--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, *quiet, "--target", str(target), str(wheel)], check=True)
    return target
