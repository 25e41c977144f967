"""The NAS-Bench-201 search network in eager PyTorch, with softmax mixed operations.

Written from the description of D-X-Y/AutoDL-Projects xautodl/models/cell_searchs and
cell_operations.py (https://arxiv.org/abs/2001.00326): no affine parameters in the cells'
BatchNorm, whose convolutions therefore carry a bias.
"""

from torch import Tensor, nn
from torch.nn import functional

CANDIDATES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4


class SearchNetwork(nn.Module):
    """f32[B, 3, H, W] -> f32[B, classes], every candidate alive.

    The architecture's logits, `f32[6, 5]` and shared by all cells, are an argument; edges
    are ordered 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
    """

    def __init__(self, features: int, cells: int, classes: int):
        super().__init__()
        self.arch_shapes = ((NODES * (NODES - 1) // 2, len(CANDIDATES)),)
        self.stem = nn.Sequential(
            nn.Conv2d(3, features, 3, padding=1, bias=False), nn.BatchNorm2d(features)
        )
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.cells.append(_ResidualReduction(features, 2 * features))
                features *= 2
            self.cells.extend(_Cell(features) for _ in range(cells))
        self.lastact = nn.Sequential(nn.BatchNorm2d(features), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(features, classes)

    def forward(self, inputs: Tensor, arch: Tensor) -> Tensor:
        gates = functional.softmax(arch, dim=-1)
        x = self.stem(inputs)
        for cell in self.cells:
            x = cell(x, gates) if isinstance(cell, _Cell) else cell(x)
        return self.classifier(self.global_pooling(self.lastact(x)).flatten(1))


def supernet(features: int = 16, cells: int = 5, classes: int = 10) -> SearchNetwork:
    """The search network of the benchmark: three stages of `cells` cells each."""
    return SearchNetwork(features, cells, classes)


class _Cell(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                f"{target}<-{source}": nn.ModuleList(_candidate(n, features) for n in CANDIDATES)
                for target in range(1, NODES)
                for source in range(target)
            }
        )

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        states, rows = [x], iter(gates)
        for target in range(1, NODES):
            state = sum(
                _mixed(self.edges[f"{target}<-{source}"], value, next(rows))
                for source, value in enumerate(states)
            )
            states.append(state)
        return states[-1]


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


class _ResidualReduction(nn.Module):
    def __init__(self, inputs, features):
        super().__init__()
        self.conv_a = _relu_conv_norm(inputs, features, 3, stride=2, affine=True)
        self.conv_b = _relu_conv_norm(features, features, 3, stride=1, affine=True)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, 2), nn.Conv2d(inputs, features, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.conv_b(self.conv_a(x))


def _mixed(ops: nn.ModuleList, x: Tensor, gates: Tensor) -> Tensor:
    return sum(gate * op(x) for gate, op in zip(gates, ops, strict=True))


def _relu_conv_norm(inputs, features, kernel, stride, affine) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, features, kernel, stride, padding=kernel // 2, bias=not affine),
        nn.BatchNorm2d(features, affine=affine),
    )


def _candidate(name: str, features: int) -> nn.Module:
    if name == "none":
        return _Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    kernel = int(name[-1])
    return _relu_conv_norm(features, features, kernel, stride=1, affine=False)
