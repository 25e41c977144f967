"""What an atomic write promises: the old file or the new one, and nothing beside it."""

import contextlib
import os
import resource
import stat

import pytest

from jaxnas.run import files


@contextlib.contextmanager
def files_of_at_most(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_text(tmp_path):
    path = tmp_path / "genotype.json"
    files.write_text(path, "old")
    with (
        files_of_at_most(1000),
        pytest.raises(files.RunError, match=r"Cannot write .*genotype\.json: File too large"),
    ):
        files.write_text(path, "new" * 1000)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("write", "content"), [(files.write_text, "ä\n"), (files.write_bytes, b"\x00\xff")]
)
def test_replaces_a_file_and_leaves_nothing_beside_it(tmp_path, write, content):
    path = tmp_path / "file"
    path.write_text("old")
    write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(path) as file:
        file.write(b"new")
        assert os.path.dirname(file.name) == str(tmp_path)
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_os_error_or_a_run_error(tmp_path):
    path = tmp_path / "none" / "file"
    with pytest.raises(FileNotFoundError), files.atomic_write(path):
        pytest.fail("opened a file in no folder")
    with pytest.raises(files.RunError, match=r"Cannot write .*: No such file.*Make room"):
        files.write_text(path, "new")
