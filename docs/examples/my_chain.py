"""A chain that jaxnas does not build: six layers, each a function of one of three widths.

python docs/examples/my_chain.py my_table.csv times some networks of it on this machine.
"""

import sys
import time

import numpy as np

from jaxnas.types import Choice

LAYERS, WIDTHS = 6, {"narrow": 64, "medium": 192, "wide": 384}
SPACE = {"layers": Choice(tuple((i, i + 1) for i in range(LAYERS)), (tuple(WIDTHS),) * LAYERS)}
# Values that a layer reads and writes: the first half of the layers has four times as many rows.
ROWS = [128] * (LAYERS // 2) + [32] * (LAYERS // 2)
WORK = [[[float(rows * width)] for width in WIDTHS.values()] for rows in ROWS]


def milliseconds(names: list[str], repeats: int = 15) -> float:
    """The least time of one pass through the layers: what else runs here only adds to it."""
    layers = [np.ones((rows, WIDTHS[name])) for rows, name in zip(ROWS, names, strict=True)]
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for x in layers:
            np.tanh(x)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


if __name__ == "__main__":
    random = np.random.default_rng(0)
    networks = sorted({" ".join(random.choice(list(WIDTHS), LAYERS)) for _ in range(60)})
    rows = [f"{network},{milliseconds(network.split()):.5f}" for network in networks]
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("\n".join(["network,latency_ms", *rows]) + "\n")
