"""Claims about layers of tables that are counted from 0 or from 1."""

import pytest

from jaxnas.spaces import layers

SEARCHED = range(1, 21)  # of 22 layers: the first and the last are fixed


@pytest.mark.parametrize(
    ("numbers", "start"),
    [
        (range(22), 0),
        (range(1, 23), 1),
        (range(1, 21), 0),  # the searched layers alone
        (range(2, 22), 1),  # the same, counted from 1
        (range(21), 0),
        (range(2, 23), 1),
    ],
)
def test_finds_the_number_of_the_first_layer(numbers, start):
    assert layers.first_number(numbers, SEARCHED) == start


def test_a_chain_without_a_fixed_first_layer_may_be_counted_from_1():
    assert layers.first_number(range(1, 6), range(5)) == 1
    assert layers.first_number(range(5), range(5)) == 0


def test_refuses_what_may_be_counted_in_both_ways():
    with pytest.raises(ValueError, match="from 0 without the first, or from 1 without the last"):
        layers.first_number(range(1, 22), SEARCHED)
