"""Spaces are what the papers list."""

import pytest

from jaxnas.spaces.darts import choices
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices


def test_edges_are_numbered_as_in_the_darts_code():
    edges = choices.darts()["normal"].edges
    assert len(edges) == 14
    assert [edges.index((0, node)) for node in (2, 3, 4, 5)] == [0, 2, 5, 9]


def test_nasbench201_lists_edges_in_the_order_of_its_keys():
    assert nasbench201_choices.nasbench201()["cell"].edges == (
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    )
    assert nasbench201_choices.nasbench201()["cell"].shape == (6, 5)


def test_without_none_only_none_is_missing():
    with_none, without = choices.darts()["reduce"], choices.darts_without_none()["reduce"]
    assert without.shape == (14, 7)
    assert all({"none"} | set(row) == set(with_none.candidates[0]) for row in without.candidates)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(choices.s1, (14, 2)), (choices.s2, (14, 2)), (choices.s3, (14, 3)), (choices.s4, (14, 2))],
)
def test_robustdarts_spaces_have_their_shapes(make, shape):
    assert {name: choice.shape for name, choice in make().items()} == {
        "normal": shape,
        "reduce": shape,
    }


def test_s1_differs_from_edge_to_edge():
    found = choices.s1()
    assert found["normal"].candidates[0] == ("skip_connect", "dil_conv_3x3")
    assert found["normal"].candidates[5] == ("max_pool_3x3", "skip_connect")
    assert found["normal"].candidates[13] == ("dil_conv_3x3", "dil_conv_5x5")
    assert found["reduce"].candidates[6] == ("max_pool_3x3", "sep_conv_3x3")
    assert found["reduce"].candidates[13] == ("skip_connect", "dil_conv_5x5")


def test_a_choice_refuses_candidates_that_stand_twice_or_none_at_all():
    with pytest.raises(ValueError, match="twice"):
        choices.darts(candidates=("skip_connect", "skip_connect"))
    with pytest.raises(ValueError, match="at least one"):
        choices.darts(candidates=())
