"""What a run folder promises: one process, and one set of settings."""

import contextlib
import json
import os

import pytest

from jaxnas import run

EXECUTION = run.Execution("step", 5)


def record(**changes):
    settings = {"seed": 0, "arch": {"rate": 3e-4, "betas": (0.5, 0.999)}} | changes
    return run.record(settings, EXECUTION, "digest")


@contextlib.contextmanager
def unprivileged():
    """Root may write anywhere: be nobody for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_one_process_at_a_time(tmp_path):
    with run.claim(tmp_path / "a", record()):
        with (
            pytest.raises(run.RunError, match=f"in use by process {os.getpid()}"),
            run.claim(tmp_path / "a", record()),
        ):
            pytest.fail("two hold one folder")
        with run.claim(tmp_path / "b", record()):
            pass
    with run.claim(tmp_path / "a", record(), log=pytest.fail) as folder:
        assert folder == tmp_path / "a"


def test_a_lock_without_its_process_is_no_lock(tmp_path):
    (tmp_path / "run.lock").write_text("1")
    with run.claim(tmp_path, record()):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (record(seed=1), r"seed \(0 there, 1 now\)"),
        (record(arch={"rate": 6e-4, "betas": (0.5, 0.999)}), r"arch.rate \(0.0003 there, 0.0006"),
        (record(cells=3), r"cells \(absent there, 3 now\)"),
        (run.record(record()["settings"], EXECUTION, "d2"), r"data \(\"digest\" there, \"d2\""),
        (run.record(record()["settings"], EXECUTION._replace(mode="scan"), "digest"), "mode"),
    ],
)
def test_refuses_other_settings_by_name(tmp_path, other, named):
    with run.claim(tmp_path, record()):
        pass
    text = (tmp_path / "settings.json").read_text()
    with pytest.raises(run.RunError, match=named) as refusal, run.claim(tmp_path, other):
        pytest.fail("other settings were accepted")
    assert "another name" in str(refusal.value)
    assert (tmp_path / "settings.json").read_text() == text
    assert run.fingerprint(other) != run.fingerprint(record())


def test_notes_other_versions_and_goes_on(tmp_path):
    old = record()
    elsewhere = old | {"environment": old["environment"] | {"cpu_count": 4096}}
    notes = []
    for now in (old, elsewhere, elsewhere, old):
        with run.claim(tmp_path, now, notes.append):
            pass
    assert len(notes) == 1
    written = json.loads((tmp_path / "settings.json").read_text())
    assert written["environment"] == old["environment"]
    assert written["continued_in"] == [elsewhere["environment"]]
    assert run.fingerprint(elsewhere) == run.fingerprint(old) == run.fingerprint(written)


def test_the_record_says_what_was_run():
    kept = record()
    assert kept["seed"] == 0
    assert {"python", "jax", "jaxlib", "flax", "optax", "numpy"} <= kept["environment"][
        "versions"
    ].keys()
    assert kept["environment"]["device"]["count"] >= 1
    assert "commit" in kept["environment"]
    with pytest.raises(ValueError, match="finite JSON"):
        record(rate=float("nan"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, "\xff"])
def test_refuses_settings_it_cannot_read(tmp_path, text):
    (tmp_path / "settings.json").write_bytes(text.encode("latin-1"))
    with (
        pytest.raises(run.RunError, match="Cannot read .*settings.json"),
        run.claim(tmp_path, record()),
    ):
        pytest.fail("unreadable settings were accepted")


def test_refuses_results_of_unknown_settings(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(run.RunError, match=r"no settings\.json"), run.claim(tmp_path, record()):
        pytest.fail("a stranger's folder was accepted")
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_a_read_only_folder_is_one_clear_error(tmp_path):
    with (
        unprivileged(),
        pytest.raises(run.RunError, match=r"Cannot write .*: Permission denied\. Make room or"),
        run.claim(tmp_path / "a", record()),
    ):
        pytest.fail("wrote where nobody may")


def test_a_file_in_the_way_is_one_clear_error(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(run.RunError, match="Cannot write"), run.claim(tmp_path / "a", record()):
        pytest.fail("wrote below a file")
