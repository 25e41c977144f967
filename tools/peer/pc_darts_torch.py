"""The PC-DARTS search network in eager PyTorch: partial channels and normalised edges.

Written from the description of yuhuixu1993/PC-DARTS model_search.py
(https://arxiv.org/abs/1907.05737), K = 4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.peer import darts_torch

PARTIAL = 4  # the candidates see the first quarter of the channels


class SearchNetwork(darts_torch.SearchNetwork):
    """f32[B, 3, H, W] -> f32[B, classes]; the arguments end with the logits of the edges.

    They are `f32[edges]` each, for all normal and for all reduction cells.
    """

    def __init__(self, *sizes):
        super().__init__(*sizes)
        (edges, _), _ = self.arch_shapes
        self.arch_shapes += ((edges,),) * 2

    def make_cell(self, *settings) -> nn.Module:
        return _Cell(*settings)

    def forward(self, inputs: Tensor, *arch: Tensor) -> Tensor:
        return super().forward(inputs, *zip(arch[:2], arch[2:], strict=True))

    def gates(self, arch: tuple[Tensor, Tensor]) -> Tensor:
        """f32[edges, candidates]: softmax of the candidates times their edge's share."""
        candidates, edges = arch
        shares, start = [], 0
        while start < len(edges):
            inputs = 2 + len(shares)
            shares.append(functional.softmax(edges[start : start + inputs], dim=-1))
            start += inputs
        return functional.softmax(candidates, dim=-1) * torch.cat(shares)[:, None]


class _Cell(darts_torch.Cell):
    def make_edge(self, features, stride, candidates) -> nn.Module:
        return _PartialOp(features, stride, candidates)


class _PartialOp(darts_torch.MixedOp):
    """The candidates of the first channels; the others bypass them, halved by a pool."""

    def __init__(self, features, stride, candidates):
        super().__init__(features // PARTIAL, stride, candidates)
        self.bypass = nn.MaxPool2d(2, 2) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        seen = x.shape[1] // PARTIAL
        bypassed = gates.sum() * self.bypass(x[:, seen:])
        joined = torch.cat([super().forward(x[:, :seen], gates), bypassed], dim=1)
        return functional.channel_shuffle(joined, PARTIAL)


def supernet(features: int = 16, cells: int = 8, classes: int = 10) -> SearchNetwork:
    """The search network of the paper, of DARTS's cells."""
    return SearchNetwork(features, cells, classes, 4, darts_torch.CANDIDATES)
