"""`python -m jaxnas` is `jaxnas`."""

import sys

from jaxnas import cli

if __name__ == "__main__":
    sys.exit(cli.main())
