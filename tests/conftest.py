"""Eight devices for every test, and compiled programs kept from run to run."""

import gc
import os
import pathlib
import signal

# Compiling is most of the suite's time, in the processes that it starts as well. Programs as users
# compile them are one of test_golden and those of the README's first command.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Two processes test at once: threads of linear algebra would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

# A run in the background ignores some signals, and so would the processes that tests stop by them.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, own)

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Two processes test at once: to compile one program on both cores is in their way.
QUICKLY = ["--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__ < (0, 12):
    # The older emitters compile small programs in a quarter of the time, golden ones in half.
    # From then on there are none.
    QUICKLY.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *QUICKLY]).strip()

# Tracing makes millions of objects that all live: to look through them was a fifth of it.
gc.set_threshold(100_000, 50, 50)

jax.config.update("jax_num_cpu_devices", 8)
if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "jaxnas-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# What takes minutes begins first, so that no process ends long after the other.
LONGEST = ("tools/test_golden.py", "pipelines/test_search.py", "experiments/", "cli/test_runs.py")


def pytest_collection_modifyitems(items):
    rank = lambda item: not any(part in item.nodeid for part in LONGEST)
    items.sort(key=rank)  # which keeps the order of equals


@pytest.fixture
def optimised():
    """Programs optimised as users' are (by the older emitters, see above)."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def x64():
    """Float64 within one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """The campaign of 25 NAS-Bench-201 networks on a stand-in device, noise of 0.1 %."""
    from jaxnas.hardware.measure import dataset
    from tests import campaign_toys

    return dataset.load(campaign_toys.written(tmp_path_factory.mktemp("campaign"), noise=0.001))


@pytest.fixture(scope="session")
def model(measured):
    """The predictor fitted to it."""
    from jaxnas.hardware.measure import dataset

    return dataset.fit_predictor(measured)


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory):
    """(folder, what was printed) of a tiny search that was run to its end, to look at only."""
    import io

    import rich.console

    from jaxnas.pipelines import search
    from tests import killable_search

    console = rich.console.Console(file=io.StringIO(), width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        folder = search.main(killable_search.tiny(tmp_path_factory.mktemp("finished")), console)
    return folder, console.file.getvalue()
