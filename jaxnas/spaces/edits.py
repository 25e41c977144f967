"""Changes that methods make to supernets of cells: the `edits` of DARTS and NAS-Bench-201."""

import functools

from jaxnas.core.types import AUXILIARY_SKIP
from jaxnas.nets import net2wider, ops, skip_dropout
from jaxnas.nets.mixed import edge_stacks
from jaxnas.spaces.search_space import Edits


def of_cells(candidates: ops.Ops) -> Edits:
    """The edits of supernets of mixed edges with the operations `candidates`."""
    skip = candidates.get("skip_connect", ops.skip_connect)
    return Edits(
        auxiliary_skip={**candidates, AUXILIARY_SKIP: skip},
        skip_dropout=functools.partial(skip_dropout.candidates, table=candidates),
        widen=net2wider.widen,
        edge_mask=edge_stacks.edge_mask,
    )
