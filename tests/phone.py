"""A stand-in for a phone: times the exported network of a folder, or misbehaves as it is told."""

import json
import sys
import time
from pathlib import Path


def timed(folder: Path) -> list[float]:
    import jax
    import numpy as np

    exported = jax.export.deserialize((folder / "network.jaxexport").read_bytes())
    with np.load(folder / "arguments.npz", allow_pickle=False) as archive:
        arguments = [archive[name] for name in sorted(archive.files)]
    run = jax.jit(exported.call).lower(*arguments).compile()
    jax.block_until_ready(run(*arguments))
    found = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        found.append(1e3 * (time.perf_counter() - began))
    return found


if __name__ == "__main__":
    behaviour, folder = sys.argv[1], Path(sys.argv[2])
    if behaviour == "hang":
        time.sleep(60)
    elif behaviour == "fail":
        sys.exit("no device is attached")
    elif behaviour == "time":
        print("a phone says what it does", file=sys.stderr)
        print(json.dumps({"latency_ms": timed(folder)}))
    elif behaviour == "quick":
        about = json.loads((folder / "network.json").read_text())
        print(json.dumps({"latency_ms": 1.5 + len(about["arguments"])}))
    else:
        print(behaviour)
