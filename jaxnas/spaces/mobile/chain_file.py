"""The file of a mobile chain: the output of `jaxnas narrow` for other programs."""

import json
from typing import Any

from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain, ChainStage, Squeeze


class ChainError(ValueError):
    """A text that is no valid chain file; the message is one line."""


def to_json(chain: Chain) -> str:
    """The chain, field by field; stages and squeeze are objects too."""
    fields = chain._asdict()
    fields["stages"] = [stage._asdict() for stage in chain.stages]
    fields["squeeze"] = chain.squeeze._asdict()
    return json.dumps({"jaxnas_chain": 1} | fields, indent=1) + "\n"


def from_json(text: str) -> Chain:
    """The chain of `to_json`, exactly. Raises ChainError."""
    try:
        fields = json.loads(text)
        if fields.pop("jaxnas_chain") != 1:
            raise ChainError("The chain is of another version of jaxnas: write it anew.")
        fields["stages"] = tuple(_stage(stage) for stage in fields["stages"])
        fields["squeeze"] = Squeeze(**fields["squeeze"])
        chain = Chain(**fields)
        chains.layers(chain)
    except ChainError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ChainError(f"This is no chain that jaxnas wrote: {reason}.") from error
    return chain


def _stage(fields: dict[str, Any]) -> ChainStage:
    return ChainStage(**fields | {"candidates": tuple(fields["candidates"])})
