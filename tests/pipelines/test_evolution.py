"""Selection by evolution over shared weights."""

import types

import numpy as np
import pytest

from jaxnas.core.stages import Selection
from jaxnas.pipelines import evolution, search_stages
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings.search import Evolution
from jaxnas.spaces import registry

SPACE = registry.get("nasbench201")
SETTINGS = SearchSettings(space="nasbench201", method="spos", select="evolution")


def finished(asked):
    """Weights by whose loss 3x3 convolutions are best, and by whose accuracy pools are."""

    def evaluate(gates):
        asked.append(len(gates["cell"]))
        convolutions, pools = (gates["cell"][..., op].sum(-1) for op in (3, 4))
        return pools / 6, -convolutions

    return types.SimpleNamespace(evaluate=evaluate)


@pytest.mark.parametrize(("by", "op"), [("loss", "nor_conv_3x3"), ("accuracy", "avg_pool_3x3")])
def test_finds_what_is_best_by_the_figure(by, op):
    asked, budget = [], Evolution(evaluations=195, population=30, by=by)
    genotype = evolution.select(SearchSettings(evolution=budget), SPACE, finished(asked))
    assert {name for _, _, name in genotype.cells["cell"].edges} == {op}
    assert sum(asked) == 195


def test_replaces_the_discretisation_of_a_search(monkeypatch):
    done = Selection(SPACE.choices, {"cell": np.zeros((6, 5))})
    monkeypatch.setattr(search_stages, "execute", lambda *_: (done, None, finished([])))
    plan = search_stages.SearchPlan(None, lambda space, gates: "strongest")
    monkeypatch.setattr(search_stages, "plan", lambda task: plan)
    of = lambda select: (
        search_stages.search(
            search_stages.SearchTask(SearchSettings(select=select), SPACE, None), None, None
        ).genotype
    )
    assert of("strongest") == "strongest"
    assert {name for _, _, name in of("evolution").cells["cell"].edges} == {"nor_conv_3x3"}


@pytest.mark.parametrize(
    ("changes", "space", "cause"),
    [
        ({"method": "darts"}, SPACE, "Evolution does not follow the method darts.*one of spos"),
        ({}, registry.get("darts"), "does not select cells of darts"),
        ({"set": ("samples=5",)}, SPACE, "--set samples has no effect"),
        ({"evolution": Evolution(evaluations=40)}, SPACE, "must ascend"),
        ({"evolution": Evolution(tournament=0)}, SPACE, "must ascend"),
        ({"select": "strongest", "evolution": Evolution(tournament=3)}, SPACE, "has no effect"),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_refused_in_one_line(changes, space, cause):
    evolution.check(SETTINGS, SPACE)
    settings = SearchSettings(**({"method": "spos", "select": "evolution"} | changes))
    with pytest.raises(ValueError, match=cause) as refusal:
        evolution.check(settings, space)
    assert "\n" not in str(refusal.value)
