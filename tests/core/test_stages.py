"""Programs: searches of one stage."""

import jax
import pytest

from jaxnas.core.gates import relax
from jaxnas.core.stages import Selection, Stage, StageResult, one_stage
from jaxnas.methods import darts
from jaxnas.spaces import choices as spaces

KEY = jax.random.key(0)
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}
LOGITS = relax.softmax(scale=1.0).init(KEY, SPACE)


def test_a_program_of_one_stage_finds_what_the_search_found():
    program = one_stage(SPACE, 2, darts.darts, {"partial": 4})
    assert next(program) == Stage("search", SPACE, 2, darts.darts, {"partial": 4}, None)
    with pytest.raises(StopIteration) as end:
        program.send(StageResult(None, LOGITS, None, None, None))
    assert end.value.value == Selection(SPACE, LOGITS)
