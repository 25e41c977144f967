"""Times networks that cover a space on this device: `jaxnas latency measure` from a checkout.

python tools/measure_latency.py --networks 100 --threads 1
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jaxnas import cli


def main(words: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for; 0, or 2 with one line on stderr."""
    return cli.main(["latency", "measure", *(sys.argv[1:] if words is None else words)])


if __name__ == "__main__":
    sys.exit(main())
