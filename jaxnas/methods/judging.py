"""What judges the validation batches of a search that holds a target."""

from jaxnas.core.types import Term


def one_of(objective: Term | None, with_penalty: Term | None) -> Term | None:
    """The one that is given; None where none is. Raises ValueError for both."""
    if objective is not None and with_penalty is not None:
        raise ValueError("An objective of its own takes no penalty: put it into the objective.")
    return with_penalty if objective is None else objective
