"""The best of all designs where a space can be listed, else of samples."""

from jaxnas.strategies.acquisition.exhaustive import exhaustive, is_listable
from jaxnas.strategies.acquisition.model import Acquisition
from jaxnas.strategies.acquisition.sampled import sampled
from jaxnas.strategies.designs.design_space import DesignSpace


def listed_or_sampled(space: DesignSpace) -> Acquisition:
    """`exhaustive` for up to a million rows, else `sampled`."""
    return exhaustive(space) if is_listable(space) else sampled(space)
