"""Which network it is: likely, near the target, good on shared weights, and measured to hold."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas import catalogue
from jaxnas.genotype import Genotype
from jaxnas.latency.fit import Model
from jaxnas.program import Finished
from jaxnas.target import aims, beside, codes, oracle_cells
from jaxnas.target.aims import Aim
from jaxnas.target.pool import Pool
