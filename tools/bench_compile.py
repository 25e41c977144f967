"""Times tracing and compiling one search step, cold and from the persistent cache."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jax

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tools import bench_case, child_process

DESCRIPTION = """\
Traces, lowers and compiles one search step from shapes alone, as a run does (jitted, state
donated), in two fresh processes: one with an empty compilation cache, one with the cache that
the first has filled. Prints one JSON object: trace_s, lower_s, compile_s (cold), cached_s
(the three together, from the cache), temp_bytes, device, versions and the settings."""

EXAMPLES = """\
examples:
  python tools/bench_compile.py
  python tools/bench_compile.py --order exact --batch 16
  python tools/bench_compile.py --space nasbench201 --features 16 --cells 5
  python tools/bench_compile.py --features 4 --cells 3 --batch 4 --image-size 8"""


def main() -> None:
    parser = bench_case.parser(DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--once",
        action="store_true",
        help="only this process, with the cache that JAX_COMPILATION_CACHE_DIR names, if any",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child_process.end_with_parent()
    if options.once:
        with bench_case.one_line_errors(parser):
            result = measure(options)
    else:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (fresh_process(parser, cache) for _ in range(2))
        if cold["cache_hits"] or not warm["cache_hits"]:
            parser.error("JAX did not use its cache as asked: unset JAX_ENABLE_COMPILATION_CACHE")
        parts = {name: warm[name] for name in ("trace_s", "lower_s", "compile_s")}
        result = cold | {"cached_s": sum(parts.values()), "cached": parts}
        del result["cache_hits"]
    print(json.dumps(result))


def measure(options: argparse.Namespace) -> dict:
    """What this process needs, and how often it found the cache filled."""
    hits = []

    def count(event: str, **_) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(count)
    case = bench_case.of(options)
    compiled = bench_case.compile_step(case)
    return {
        **compiled.seconds,
        **compiled.bytes,
        "peak_rss_bytes": bench_case.peak_rss_bytes(),
        "cache_hits": len(hits),
        **bench_case.machine(),
        "settings": vars(case),
    }


def fresh_process(parser: bench_case.Parser, cache: str) -> dict:
    """`measure` with the same options in a new interpreter; its exit code is ours if it fails."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, __file__, *sys.argv[1:], "--once", "--child"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode < 0:
        parser.error(
            f"the compiling process was ended by signal {-done.returncode}, for want of memory "
            "perhaps: try a smaller --batch or fewer --cells"
        )
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
