"""The settings of `jaxnas diagnose`."""

import dataclasses

import tyro.conf


@dataclasses.dataclass(frozen=True)
class DiagnoseSettings:
    run: tyro.conf.Positional[str]
    """A folder that jaxnas search wrote, finished or stopped."""
    batches: int = 2
    """Validation batches to measure on, of the run's batch size."""
    exact_hessian: bool = True
    """The whole Hessian of the architecture, a row at a time; else its extremes, by Lanczos."""
    iterations: int = 30
    """Of Lanczos."""
    radius: float = 0.05
    """Length of the step in the weights by which sharpness is measured."""
    json: bool = False
    """Print the file instead of the table."""
