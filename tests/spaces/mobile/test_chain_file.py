"""A chain in a file: read as it was written, and what is no chain is refused."""

import pytest

from jaxnas.spaces.mobile import chain_file, sizing, zoo
from jaxnas.spaces.mobile.chain_file import ChainError

CHAIN = sizing.sized(zoo.proxyless(), "mobile-proxyless", features=8, repeats=1)


@pytest.mark.parametrize(
    "chain",
    [CHAIN, zoo.fbnet(), zoo.mobilenet_v2(), zoo.mobilenet_v3_large()],
    ids=lambda chain: chain.name,
)
def test_a_chain_is_read_as_it_was_written(chain):
    assert chain_file.from_json(chain_file.to_json(chain)) == chain


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"jaxnas_chain": 2}', '{"jaxnas_chain": 1}', "[" * 100_000,
     chain_file.to_json(CHAIN).replace("k3_e3", "k4_e3"),
     chain_file.to_json(CHAIN).replace('"stem"', '"stern"')],
)  # fmt: skip
def test_what_is_no_chain_is_refused(text):
    with pytest.raises(ChainError) as refusal:
        chain_file.from_json(text)
    assert "\n" not in str(refusal.value)
