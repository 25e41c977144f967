"""SHA-256 of all that tiny runs of every space and method write: did a change move a single byte?

python tools/snapshot.py --out before.json
python tools/snapshot.py --compare before.json
python tools/snapshot.py --only search-hypercuboid predict --out some.json

Runs commands of `jaxnas` one after another, on the digits, in a folder that is thrown away. What a
clock, a version or the place on disk decides is left out. Checkpoints count by the arrays in them.
Takes about ten minutes on two cores; --tables names a folder with `nasbench/nb201.npz` and
`latency/singlepath_pixel1_lut.csv`, without which what needs them is left out. The same machine and
versions are needed for both sides of a comparison.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# Programs are run a few times each: compiling is nearly all of it. Both sides are compiled alike.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLES = ROOT.parent / "shared"

# Fields of JSON that a clock, the versions or the device decide.
CLOCKS = {"environment", "begun", "spent_s", "load", "device", "clock_ms"}
TIMED = {"latency_ms"}  # of what was trained: in result.json and summary.json
UNITS = re.compile(r"[\d.,]+(?:&nbsp;|\s|\u202f|\xa0)*(?:ms|µs|s|min|GiB|MiB)\b")
# Of a page: the curve of step times, and what it says of the versions and the machine.
OF_THE_MACHINE = re.compile(
    r'<svg role="img" aria-label="Time of a step.*?</svg>'
    r'|<tr><th scope="row">environment\..*?</tr>',
    re.DOTALL,
)
SKIPPED = (".png", ".lock", ".pdf")  # pictures are made of the SVGs beside them

TINY = "--limit 100 --batch-size 25 --features 4 --random-cells 1 --retrain.epochs 1 "
TINY += "--retrain.batch-size 50 --retrain.features 4 --save-every-s 9999 --out runs"
CELLS = f"{TINY} --epochs 2 --cells 1 --retrain.cells 1"
STAGE = f"{TINY} --epochs 2 --cells 1"
CHAIN = "--space mobile-fbnet --method fbnet --set warm_up=1 arch_every=1"
SINGLE = "--space mobile-single-path --method single-path"


class Case(NamedTuple):
    """A command; later ones may use what earlier ones of its group have written."""

    name: str
    words: str
    needs: str = ""  # a file below the folder of tables


CASES = (
    Case("search-darts", f"search {TINY} --epochs 2 --cells 2 --reductions 1 --retrain.cells 2 "
         "--retrain.reductions 1 --name darts"),
    Case("search-exact", f"search {STAGE} --space nasbench201 --order exact --name exact"),
    Case("search-pt", f"search {CELLS} --space darts-s2 --select perturbation --name pt"),
    Case("search-s1", f"search {CELLS} --space darts-s1 --name s1"),
    Case("search-sharp", f"search {CELLS} --space darts-sharp --method sharp-darts --set warm_up=0 "
         "--name sharp"),
    Case("search-own", f"search {CELLS} --space docs/examples/my_space.py --name own"),
    Case("search-nasbench201",
         f"search {STAGE} --space nasbench201 --method gdas --table nasbench/nb201.npz --name nb",
         "nasbench/nb201.npz"),
    Case("search-hypercuboid",
         f"search {TINY} --epochs 3 --cells 3 --space hypercuboid --method hypercuboid "
         "--name cuboid"),
    Case("search-mobile", f"search {STAGE} {CHAIN} --name mobile"),
    Case("search-single-path",
         f"search {STAGE} {SINGLE} --cells 4 --set table=latency/singlepath_pixel1_lut.csv "
         "fixed_ms=19.6 --name superkernel", "latency/singlepath_pixel1_lut.csv"),
    *(Case(f"method-{method}",
           f"search {STAGE} --space nasbench201 --method {method} {words} --name m-{method}")
      for method, words in (
          ("single-level", ""), ("pc-darts", "--set warm_up=1"), ("sd-darts", "--set warm_up=1"),
          ("rarts", ""), ("snas", ""), ("dr-nas", "--set regulariser=kl"),
          ("smooth-darts", "--set attack_steps=2"), ("fair-darts", ""), ("beta-darts", ""),
          ("darts-minus", ""), ("idarts", ""), ("spos", "--set samples=4"),
          ("random", "--set cells=2"), ("blank", ""),
          ("proxyless-reinforce", "--set warm_up=1 samples=2"),
      )),
    *(Case(f"method-{method}", f"search {TINY} --cells 1 --retrain.cells 1 --space {space} "
           f"--method {method} {words} --name m-{method}")
      for method, space, words in (
          ("dr-nas-progressive", "darts-s1", "--epochs 2 --set rest=1 partial=2,1 keep=1"),
          ("p-darts", "darts-s3", "--epochs 2 --set rest=1 cells=1,1 keep=2 dropout=0.1,0.0 "
           "skips=8"),
          ("few-shot", "darts-s2", "--epochs 3 --set splits=1,2 batches=2"),
          ("r-darts", "darts-s2", "--epochs 6 --set start=0 delay=1"),
          ("r-darts-adaptive", "darts-s2", "--epochs 6 --set start=0 delay=1 ratio=0.1"),
      )),
    Case("method-proxyless",
         f"search {STAGE} --space mobile-proxyless --method proxyless --set warm_up=1 mode=two "
         "--name m-proxyless"),
    Case("retrain-darts", "retrain DARTS_V2 --limit 120 --epochs 2 --batch-size 30 --features 4 "
         "--cells 2 --drop-path 0.2 --cutout 3 --out runs --name darts_v2"),
    Case("retrain-hypercuboid", "retrain runs/cuboid --limit 120 --epochs 1 --features 6 "
         "--out runs --name recuboid"),
    *(Case(f"narrow-{name}", f"narrow runs/{name} --limit 150 --epochs 1 --features 8 {words} "
           "--short-steps 2 --tune-epochs 1 --first 0.1 --save-every-s 9999 --out runs "
           f"--name narrow-{name}")
      for name, words in (("darts", "--cells 2 --macs 50000 --multiple 2"),
                          ("m-snas", "--macs 200000"), ("cuboid", "--macs 42000 --multiple 2"),
                          ("mobile", "--macs 150000"))),
    *(Case(f"diagnose-{name}", f"diagnose runs/{name} --batches 1 {words}")
      for name, words in (("darts", "--no-exact-hessian --iterations 2"),
                          ("m-snas", "--iterations 2"),
                          ("cuboid", "--no-exact-hessian --iterations 2"),
                          ("mobile", "--no-exact-hessian --iterations 2"))),
    *(Case(f"macs-{name}", f"search {words} --target-macs {macs} --name macs-{name}")
      for name, macs, words in (
          ("darts", 50000, CELLS), ("nasbench201", 110000, f"{STAGE} --space nasbench201"),
          ("hypercuboid", 60000, f"{TINY} --epochs 3 --cells 3 --space hypercuboid "
           "--method hypercuboid"),
          ("mobile", 1600000, f"{STAGE} {CHAIN}"))),
    *(Case(f"measure-{name}", f"latency measure --space {space} --image 8 8 1 --features 4 "
           f"--networks 12 --rounds 4 --name {name} --command '{{python}} {{phone}} {{network}}'")
      for name, space in (("nb", "nasbench201"), ("cells", "darts --cells 1"),
                          ("grid", "hypercuboid --cells 3"), ("chain", "mobile-fbnet"))),
    *(Case(f"{job}-{name}", f"latency {job} latency/{name}")
      for name in ("nb", "cells", "grid", "chain") for job in ("fit", "report")),
    Case("fit-sources", "latency fit latency/nb --sources latency/nb/model.json --out with.json"),
    Case("predict", "latency predict latency/nb/model.json runs/nb --json", "nasbench/nb201.npz"),
    Case("predict-chain", "latency predict latency/chain/model.json runs/mobile --json"),
    Case("check-table", "latency check latency/singlepath_pixel1_lut.csv "
         "--space mobile-single-path", "latency/singlepath_pixel1_lut.csv"),
    *(Case(f"ms-{name}", f"search {words} --target-ms {ms} --latency latency/{name} "
           f"--any-device --name ms-{name}")
      for name, ms, words in (
          ("nb", 2.2, f"{STAGE} --space nasbench201 --target-parameters 9000"),
          ("cells", 1.9, CELLS),
          ("grid", 1.5, f"{TINY} --epochs 3 --cells 3 --space hypercuboid --method hypercuboid"),
          ("chain", 7.0, f"{STAGE} {CHAIN}"))),
    Case("ms-timed", f"search {STAGE} --space nasbench201 --target-ms 2.2 --latency latency/nb "
         "--name ms-timed"),
    Case("ms-weight", f"search {STAGE} --space nasbench201 --method dr-nas --latency latency/nb "
         "--latency-weight 0.2 --latency-form one-sided --any-device --name ms-weight"),
    Case("ms-model", f"search {STAGE} --space nasbench201 --method gdas "
         "--target-models latency/nb/model.json=2.2 --name ms-model"),
    Case("oracle", "oracle query 6111 --table nasbench/nb201.npz --json", "nasbench/nb201.npz"),
    Case("draw", "draw DARTS_V2 --out pictures"),
    Case("check", "check docs/examples/my_space.py"),
    Case("report", "report runs/darts"),
    *(Case(f"settings-{method}", f"methods {method}")
      for method in ("", "darts", "pc-darts", "r-darts-adaptive", "single-path", "fbnet")),
)  # fmt: skip

# A device without a clock: what a network's own arguments say, and nothing else.
PHONE = """
import json, math, pathlib, sys
about = json.loads((pathlib.Path(sys.argv[1]) / "network.json").read_text())
size = sum(math.prod(shape) for _, shape in about["arguments"])
print(json.dumps({"latency_ms": 0.8 + len(about["arguments"]) / 64 + size / 20000}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.RawTextHelpFormatter,
        epilog="\n".join(__doc__.splitlines()[2:5]),
    )  # fmt: skip
    parser.add_argument("--out", type=pathlib.Path, help="where the sums go (JSON)")
    parser.add_argument("--compare", type=pathlib.Path, help="sums that these must equal")
    parser.add_argument("--only", nargs="+", default=None, help="these cases (all by default)")
    parser.add_argument("--tables", type=pathlib.Path, default=TABLES)
    parser.add_argument("--keep", type=pathlib.Path, help="a folder in which the runs stay")
    options = parser.parse_args()
    unknown = set(options.only or ()) - {case.name for case in CASES}
    if unknown:
        print(f"snapshot: no case {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    cases = [case for case in CASES if options.only is None or case.name in options.only]
    with contextlib.ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory())
        sums = taken(cases, pathlib.Path(folder).resolve(), options.tables.resolve())
    if options.out:
        options.out.write_text(json.dumps(sums, indent=1) + "\n")
    if options.compare is None:
        return 0
    changes = list(differences(json.loads(options.compare.read_text()), sums))
    print(*(changes or ["equal"]), sep="\n")
    return 1 if changes else 0


def taken(
    cases: Sequence[Case], folder: pathlib.Path, tables: pathlib.Path
) -> dict[str, dict[str, str]]:
    """{case: {file: sum}}; what a command prints counts as the file `stdout`."""
    sys.path.insert(0, str(ROOT))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "phone.py").write_text(PHONE)
    for name in ("nasbench", "docs"):
        source = (ROOT if name == "docs" else tables) / name
        if not (folder / name).exists() and source.is_dir():
            (folder / name).symlink_to(source)
    (folder / "latency").mkdir(exist_ok=True)
    table = "latency/singlepath_pixel1_lut.csv"
    if (tables / table).is_file() and not (folder / table).exists():
        (folder / table).symlink_to(tables / table)
    os.chdir(folder)
    sums: dict[str, dict[str, str]] = {}
    seen: dict[str, str] = {}
    for case in cases:
        if case.needs and not (tables / case.needs).is_file():
            print(f"{case.name}: left out, there is no {case.needs}", file=sys.stderr, flush=True)
            continue
        printed = run(case)
        now = {
            str(path.relative_to(folder)): digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and counts(path.relative_to(folder))
        } | checkpoints(folder)
        sums[case.name] = {"stdout": printed}
        sums[case.name] |= {name: value for name, value in now.items() if seen.get(name) != value}
        seen = now
    return sums


def run(case: Case) -> str:
    """Runs a command in this process; the sum of what it prints, where no clock has a say in it."""
    from jaxnas import cli

    began = time.monotonic()
    places = {"{python}": sys.executable, "{phone}": str(pathlib.Path("phone.py").resolve())}
    words = [replaced(word, places) for word in shlex.split(case.words)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(words)
    taken_s = time.monotonic() - began
    print(f"{case.name}: exit code {code}, {taken_s:.0f} s", file=sys.stderr, flush=True)
    answers = ("predict", "oracle", "check", "draw", "settings", "report")
    text = out.getvalue() if case.name.startswith(answers) else ""
    return hashlib.sha256(f"{code}\n{text}".encode()).hexdigest()


def replaced(text: str, others: Mapping[str, str]) -> str:
    for old, new in others.items():
        text = text.replace(old, new)
    return text


def placeless(text: str) -> str:
    return replaced(text, {sys.executable: "python", str(pathlib.Path.cwd()): "."})


def counts(path: pathlib.Path) -> bool:
    parts = path.parts
    outside = parts[0] in ("nasbench", "docs", "phone.py")
    made = {"tensorboard", "checkpoints", "narrowed", "exported", "cache"} & set(parts)
    link = path.name == "singlepath_pixel1_lut.csv"
    return not (outside or made or link or path.suffix in SKIPPED)


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(content(path)).hexdigest()


def content(path: pathlib.Path) -> bytes:
    """What is in a file, less what clocks and versions decide."""
    if path.suffix == ".npz":
        return archive(path)
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    if path.suffix == ".json":
        timed = TIMED if path.name in ("result.json", "summary.json") else set()
        return json.dumps(stripped(json.loads(text), CLOCKS | timed)).encode()
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        kept = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
        return "\n".join(map(json.dumps, kept)).encode()
    if path.suffix in (".html", ".md", ".csv"):
        text = UNITS.sub("TIME", OF_THE_MACHINE.sub("", text))
    return placeless(text).encode(errors="surrogateescape")


def stripped(value: Any, names: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {k: stripped(v, names) for k, v in value.items() if k not in names}
    if isinstance(value, list):
        return [stripped(inner, names) for inner in value]
    return placeless(value) if isinstance(value, str) else value


def archive(path: pathlib.Path) -> bytes:
    """The arrays of a campaign, but for the hours at which it was measured."""
    import numpy as np

    total = hashlib.sha256()
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(set(arrays.files) - {"started_s"}):
            value = arrays[name]
            if name == "header":
                value = json.dumps(stripped(json.loads(str(value)), CLOCKS))
                total.update(value.encode())
                continue
            total.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    return total.digest()


def checkpoints(folder: pathlib.Path) -> dict[str, str]:
    """By checkpoint the sum of its arrays, as Orbax reads them without being told what they are."""
    import numpy as np
    import orbax.checkpoint as ocp

    sums = {}
    for note in sorted(folder.rglob("jaxnas.json")):
        total = hashlib.sha256(json.dumps(json.loads(note.read_text())["leaves"]).encode())
        arrays = ocp.StandardCheckpointer().restore(note.parent / "state")
        for name in sorted(arrays):
            total.update(name.encode() + np.asarray(arrays[name]).tobytes())
        sums[str(note.parent.relative_to(folder))] = total.hexdigest()
    return sums


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """A line for each file that is not the same, of the cases that were run now."""
    for case, files in new.items():
        before = old.get(case)
        if before is None:
            yield f"{case}: not there before"
            continue
        for name in sorted(before.keys() | files.keys()):
            if before.get(name) != files.get(name):
                what = "gone" if name not in files else "new" if name not in before else "other"
                yield f"{case}: {name}: {what}"


if __name__ == "__main__":
    sys.exit(main())
