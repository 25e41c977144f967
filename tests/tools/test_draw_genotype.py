"""tools/draw_genotype.py: pictures, or one line and exit code 2."""

import os
import subprocess
import sys

import pytest

from jaxnas.spaces import genotype
from jaxnas.spaces.darts import genotypes as published
from tests import paths
from tools import draw_genotype

ROOT = paths.ROOT


def draw(*arguments, cwd):
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "draw_genotype.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=cwd, check=False,
        env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip


def test_draws_each_cell_as_svg_and_png(tmp_path):
    found = published.PUBLISHED["DARTS_V2"]
    (tmp_path / "genotype.json").write_text(genotype.to_json(found))
    done = draw("genotype.json", "--out", "pictures/new", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    names = sorted(path.name for path in (tmp_path / "pictures" / "new").iterdir())
    assert names == ["cell_normal.png", "cell_normal.svg", "cell_reduce.png", "cell_reduce.svg"]
    assert "cell_reduce.png" in done.stdout


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"space": "darts"}'])
def test_a_bad_genotype_is_one_line_and_exit_code_2(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "genotype.json").write_text(content)
    assert draw_genotype.main([str(tmp_path / "genotype.json")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("draw_genotype: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_help_shows_an_example(tmp_path):
    done = draw("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "example: python tools/draw_genotype.py" in done.stdout
