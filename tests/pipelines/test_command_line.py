"""Words become settings, or are refused in one line; failures are one line and an exit code."""

import dataclasses
import errno
import io
import os
import shlex
import signal
import subprocess
import sys
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jaxnas.pipelines import command_line
from jaxnas.pipelines.console import printable, stop
from jaxnas.pipelines.settings import RetrainSettings, SearchSettings, command, flat
from jaxnas.pipelines.settings import search as searches
from jaxnas.run import NonFiniteError, signals
from jaxnas.spaces import registry
from tests import paths

SPACES = {name: registry.get(name) for name in ("darts", "nasbench201", "mobile-fbnet")}


@dataclasses.dataclass(frozen=True)
class Settings:
    epochs: int = 3
    """Passes over the training set."""
    rate: float = 0.1
    order: Literal["first", "exact"] = "first"
    sizes: tuple[int, ...] | None = None


def parse(*words, default=None):
    return command_line.parse(Settings, words, "jaxnas try", "Tries.", default)


def test_words_change_the_defaults():
    assert parse("--epochs", "5") == Settings(epochs=5)
    assert parse("--sizes", "1", "2", default=Settings(rate=0.5)) == Settings(3, 0.5, sizes=(1, 2))


def test_help_is_printed_and_gives_no_settings(capsys):
    assert parse("--help") is None
    out = capsys.readouterr().out
    assert "Tries." in out and "Passes over the training set." in out


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("--epochs x", "--epochs cannot be 'x': give a whole number. See jaxnas try --help."),
        ("--rate fast", "--rate cannot be 'fast': give a number"),
        ("--sizes one", "--sizes cannot be 'one': give whole numbers with spaces between"),
        ("--order z", "--order cannot be 'z': give exact or first"),
        ("--epochss 3", "Perhaps you meant --epochs"),
        ("--epochs", "Missing value for argument '--epochs'"),
        ("stray", "stray"),
    ],
)
def test_words_that_say_no_settings_are_refused_in_one_line(words, cause):
    with pytest.raises(command_line.UsageError) as refusal:
        parse(*words.split())
    assert cause in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["search", "--debug", "--seed", "1"], (["search", "--seed", "1"], True)),
        (["search"], (["search"], False)),
        ([], ([], False)),
    ],
)
def test_debug_is_no_word_of_a_command(words, expected):
    assert command_line.split_debug(words) == expected


def raising(error):
    def main(settings):
        raise error

    return main


def run(main, *words):
    return command_line.run(main, Settings(), "experiments.try", "Tries.", words)


def test_a_script_is_given_its_settings(capsys):
    given_settings = []
    assert run(given_settings.append, "--epochs", "7") == 0
    assert given_settings == [Settings(epochs=7)]
    assert run(given_settings.append, "--help") == 0
    assert len(given_settings) == 1 and "python -m experiments.try" in capsys.readouterr().out
    assert run(given_settings.append, "--epochs", "x") == command_line.REFUSED
    out, err = capsys.readouterr()
    assert (out, len(given_settings)) == ("", 1)
    assert err.endswith("give a whole number. See python -m experiments.try --help.\n")


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2, "x.png: No space left"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "Read-only"),
        (MemoryError(), 2, "Out of memory. Take a smaller --batch-size"),
        (RuntimeError("RESOURCE_EXHAUSTED: out of memory"), 2, "Out of memory"),
        (KeyboardInterrupt(), 130, "Run the same command again"),
        (stop.Terminated(15), 143, "Run the same command again"),
        (signals.Interrupted("Stopped after step 3.", 15), 143, "Stopped after step 3."),
        (ValueError("two\nlines"), 2, "two lines"),
        (ValueError(), 2, "ValueError"),
        (FloatingPointError("the loss is nan"), 2, "the loss is nan"),
    ],
)
def test_a_failure_is_one_line_and_a_code(capsys, error, code, cause):
    assert run(raising(error)) == code
    err = capsys.readouterr().err
    assert cause in err and err.startswith("jaxnas: ")
    assert err.count("\n") == 1


def test_a_loss_that_is_not_finite_is_told(capsys, tmp_path):
    assert run(raising(NonFiniteError("loss/train", 7, 4, tmp_path))) == 2
    err = capsys.readouterr().err
    assert "not finite at step 7. The last good checkpoint is step 4" in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="no such epoch"):
        run(raising(ValueError("no such epoch")), "--debug")


def test_a_bug_is_not_hidden():
    with pytest.raises(TypeError, match="ours"):
        run(raising(TypeError("ours")))


@pytest.mark.parametrize("number", stop.NUMBERS)
def test_a_stop_signal_ends_a_command_and_its_handler_goes_with_it(capsys, number):
    before = signal.getsignal(number)
    assert run(lambda settings: signal.raise_signal(number)) == 128 + number
    assert "it goes on after its last save" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_a_command_stops_by_the_signals_of_a_run():
    assert {*stop.NUMBERS, signal.SIGINT} == set(signals.STOP_SIGNALS)


def test_an_ignored_signal_stays_ignored():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda settings: signal.raise_signal(signal.SIGHUP)) == 0
        assert signal.SIGHUP not in signals.heeded()
    finally:
        signal.signal(signal.SIGHUP, old)


def test_a_users_file_that_exits_is_a_refusal(capsys):
    assert run(raising(SystemExit("no licence"))) == 2
    assert (
        capsys.readouterr().err == "jaxnas: SystemExit in a file of Python that was run: "
        "no licence\n"
    )


def test_no_home_is_one_line(capsys):
    assert run(raising(RuntimeError("Could not determine home directory."))) == 2
    assert "set HOME" in capsys.readouterr().err


def test_signs_that_an_output_lacks_are_replaced():
    ascii_file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    printable.replace_missing_signs(ascii_file, None, io.StringIO())
    ascii_file.write("30.0 ± 1.2 µs → café 日 \udcff")
    ascii_file.flush()
    assert ascii_file.buffer.getvalue() == b"30.0 +- 1.2 us -> cafe ? ?"


def test_a_device_that_is_not_there_is_one_line():
    platform = "cuda"
    code = "import sys; from jaxnas import cli; sys.exit(cli.main(['retrain', 'DARTS_V2']))"
    environment = os.environ | {"JAX_PLATFORMS": platform, "PYTHONPATH": str(paths.ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode != 2:
        pytest.skip("this machine has a GPU")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert f"jaxnas: JAX cannot start with JAX_PLATFORMS={platform}" in ran.stderr
    assert "cpu here: unset JAX_PLATFORMS" in ran.stderr


search_settings = st.builds(
    SearchSettings,
    space=st.sampled_from([*SPACES, "my space.py"]),
    method=st.sampled_from(["darts", "single-level"]),
    order=st.sampled_from([None, "first", "exact", "finite-difference"]),
    epochs=st.none() | st.integers(-3, 1000),
    learning_rate=st.none() | st.floats(allow_nan=True, allow_infinity=True),
    reductions=st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple),
    remat=st.booleans(),
    seed=st.integers(-5, 2**40),
)


@examples(max_examples=25)  # to parse takes a tenth of a second
@given(search_settings)
def test_settings_come_back_from_the_command_that_tells_them(settings):
    words = shlex.split(command("jaxnas search", settings, SearchSettings()))[2:]
    parsed = command_line.parse(SearchSettings, words, "jaxnas search", "")
    assert repr(flat(parsed)) == repr(flat(settings))  # repr: NaN equals nothing


@given(search_settings)
def test_settings_are_resolved_or_refused_in_one_line(settings):
    try:
        full = searches.resolved(settings, SPACES.get(settings.space, SPACES["darts"]))
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert full.epochs is None or full.epochs >= 1
        assert full.learning_rate is None or full.learning_rate > 0
        assert None not in (full.features, full.cells)


@examples(max_examples=25)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_words_are_settings_or_refused_in_one_line(words):
    for kind in (SearchSettings, RetrainSettings):
        try:
            parsed = command_line.parse(kind, words, "jaxnas", "")
        except command_line.UsageError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert parsed is None or isinstance(parsed, kind)
