"""What the README and the docs promise is what is there, and their examples are found and run."""

import re
import subprocess
import sys
import tomllib

import pytest

from tests import paths
from tools import run_readme

README = (paths.ROOT / "README.md").read_text()
PAGES = sorted([paths.ROOT / "README.md", *(paths.ROOT / "docs").glob("*.md")])
TOOL = paths.ROOT / "tools" / "run_readme.py"
PAGE = """# A page

```bash
echo one > one.txt
```

<!-- elsewhere: it would delete everything -->
```bash
exit 3
```

```text
not a command
```

```python
import pathlib
pathlib.Path("two.txt").write_text(pathlib.Path("one.txt").read_text() * 2)
```
"""


def started(page, folder, *options):
    (folder / "page.md").write_text(page)
    return subprocess.run(
        [sys.executable, TOOL, "page.md", *options], cwd=folder, capture_output=True, text=True
    )


def test_runs_bash_and_python_in_order_and_nothing_else(tmp_path):
    out = started(PAGE, tmp_path)
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "two.txt").read_text() == "one\none\n"
    assert "page.md:9" not in out.stdout


def test_examples_go_on_from_the_one_before(tmp_path):
    more = "\nThen:\n\n```python\nassert pathlib.Path('two.txt').exists()\n```\n"
    out = started(PAGE + more, tmp_path)
    assert out.returncode == 0, out.stderr
    assert out.stdout.count("(python)") == 1


@pytest.mark.parametrize("broken", ["false | true", "cat missing.txt; true", "echo $NOT_SET_HERE"])
def test_stops_at_the_first_command_that_fails(tmp_path, broken):
    out = started(PAGE.replace("echo one > one.txt", broken), tmp_path)
    assert out.returncode == 1
    assert not (tmp_path / "two.txt").exists()


def test_a_shorter_form_is_run_in_place_of_what_is_shown(tmp_path):
    out = started(PAGE, tmp_path, "--replace", "echo one", "echo 1", "--replace", "* 2", "* 3")
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "two.txt").read_text() == "1\n1\n1\n"
    assert "echo 1 > one.txt" in out.stdout
    out = started(PAGE, tmp_path, "--replace", "exit 3", "exit 0")
    assert out.returncode == 2 and "no command has 'exit 3'" in out.stderr


def test_stops_at_an_example_that_raises(tmp_path):
    out = started(PAGE.replace("import pathlib\n", ""), tmp_path)
    assert out.returncode == 1
    assert "page.md:17 (python)" in out.stdout


def test_the_main_command_and_the_examples_are_run():
    runs = [block for block in run_readme.blocks(README) if block.runs]
    assert runs[0].text.endswith(".venv/bin/jaxnas search\n")
    assert sum(block.language == "python" for block in runs) >= 2


def test_the_test_command_of_the_readme_is_what_ci_runs():
    apart = [block for block in run_readme.blocks(README) if not block.runs]
    install, _, tests = apart[0].text.strip().rpartition(" && ")
    ci = (paths.ROOT / ".ci" / "run").read_text()
    for command in [*install.split(" && "), tests]:
        assert command in ci


def test_the_example_in_the_docs_is_the_file():
    example = (paths.ROOT / "docs" / "examples" / "my_space.py").read_text()
    assert f"```python\n{example}```" in (paths.ROOT / "docs" / "extending.md").read_text()


def test_the_method_in_the_docs_is_the_one_in_the_package():
    source = (paths.ROOT / "jaxnas" / "methods" / "darts.py").read_text()
    shown = next(b for b in run_readme.blocks((paths.ROOT / "docs" / "new-method.md").read_text()))
    body = source[source.index("def darts(") :]
    assert re.sub(r'    """.*?"""\n', "", body, flags=re.DOTALL) == shown.text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert missing == []


def test_every_page_is_in_the_index():
    index = (paths.ROOT / "docs" / "README.md").read_text()
    for page in PAGES:
        if page.name != "README.md":
            assert f"]({page.name})" in index, page.name


def test_every_requirement_has_exact_pins():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *(paths.ROOT / "requirements.txt").read_text().splitlines(),
        *project["optional-dependencies"]["test"],
    ]
    plain = lambda name: re.split(r"[<>=; \[]", name)[0].lower().replace("_", "-")
    pins = (paths.ROOT / "constraints.txt").read_text().splitlines()
    pinned = {plain(line) for line in pins if "==" in line}
    wanted = {plain(line) for line in required if line and not line.startswith("#")}
    assert wanted <= pinned
