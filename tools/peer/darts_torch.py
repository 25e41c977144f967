"""The DARTS search network in eager PyTorch, one operation at a time.

Written from the description of quark0/darts cnn/model_search.py and cnn/operations.py
(https://arxiv.org/abs/1806.09055). Submodules carry the original paths
(`cells.2._ops.5._ops.4.op.1`), so that arrays saved under those names load as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CANDIDATES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


class SearchNetwork(nn.Module):
    """f32[B, 3, H, W] -> f32[B, classes], every candidate alive.

    The logits of the architecture are arguments, `f32[edges, candidates]` each: one for all
    normal cells, one for all reduction cells (at cells // 3 and 2 * cells // 3).
    """

    def __init__(self, features: int, cells: int, classes: int, nodes: int, candidates):
        super().__init__()
        edges = sum(2 + node for node in range(nodes))
        self.arch_shapes = ((edges, len(candidates)),) * 2
        self.reductions = (cells // 3, 2 * cells // 3)
        width = 3 * features
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        before_last, last, after_reduction = width, width, False
        self.cells = nn.ModuleList()
        for index in range(cells):
            reduces = index in self.reductions
            features *= 2 if reduces else 1
            self.cells.append(
                self.make_cell(
                    before_last, last, features, nodes, candidates, reduces, after_reduction
                )
            )
            before_last, last, after_reduction = last, nodes * features, reduces
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, inputs: Tensor, arch_normal: Tensor, arch_reduce: Tensor) -> Tensor:
        before_last = last = self.stem(inputs)
        for index, cell in enumerate(self.cells):
            arch = arch_reduce if index in self.reductions else arch_normal
            before_last, last = last, cell(before_last, last, self.gates(arch))
        return self.classifier(self.global_pooling(last).flatten(1))

    def make_cell(self, *settings) -> nn.Module:
        """A cell of the network."""
        return Cell(*settings)

    def gates(self, arch: Tensor) -> Tensor:
        """The weights of an edge's candidates."""
        return functional.softmax(arch, dim=-1)


def supernet(
    features: int = 16,
    cells: int = 8,
    classes: int = 10,
    nodes: int = 4,
    candidates: tuple[str, ...] = CANDIDATES,
) -> SearchNetwork:
    """The search network of the paper. Raises ValueError for an unknown candidate."""
    unknown = set(candidates) - set(CANDIDATES)
    if unknown:
        raise ValueError(f"No candidate {sorted(unknown)}: choose from {', '.join(CANDIDATES)}.")
    return SearchNetwork(features, cells, classes, nodes, candidates)


class Cell(nn.Module):
    """A search cell: its nodes are sums over mixed edges."""

    def __init__(self, before_last, last, features, nodes, candidates, reduces, after_reduction):
        super().__init__()
        self.nodes = nodes
        if after_reduction:
            self.preprocess0 = _FactorizedReduce(before_last, features)
        else:
            self.preprocess0 = _ReLUConvBN(before_last, features)
        self.preprocess1 = _ReLUConvBN(last, features)
        self._ops = nn.ModuleList(
            self.make_edge(features, 2 if reduces and source < 2 else 1, candidates)
            for node in range(nodes)
            for source in range(2 + node)
        )

    def make_edge(self, features: int, stride: int, candidates) -> nn.Module:
        """An edge of the cell."""
        return MixedOp(features, stride, candidates)

    def forward(self, before_last: Tensor, last: Tensor, gates: Tensor) -> Tensor:
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        edge = 0
        for _ in range(self.nodes):
            state = sum(
                self._ops[edge + source](value, gates[edge + source])
                for source, value in enumerate(states)
            )
            edge += len(states)
            states.append(state)
        return torch.cat(states[-self.nodes :], dim=1)


class MixedOp(nn.Module):
    """The weighted sum of an edge's candidates."""

    def __init__(self, features, stride, candidates):
        super().__init__()
        self._ops = nn.ModuleList(_candidate(name, features, stride) for name in candidates)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        return sum(gate * op(x) for gate, op in zip(gates, self._ops, strict=True))


class _Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class _ReLUConvBN(nn.Module):
    def __init__(self, inputs, features):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(), nn.Conv2d(inputs, features, 1, bias=False), _norm(features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class _FactorizedReduce(nn.Module):
    def __init__(self, inputs, features):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(inputs, features // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, features // 2, 1, stride=2, bias=False)
        self.bn = _norm(features)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class _DepthwiseConv(nn.Module):
    """ReLU, depthwise, pointwise, BatchNorm: once for each stride."""

    def __init__(self, features, kernel, strides, dilation):
        super().__init__()
        layers = []
        for stride in strides:
            depthwise = nn.Conv2d(
                features,
                features,
                kernel,
                stride=stride,
                padding=dilation * (kernel - 1) // 2,
                dilation=dilation,
                groups=features,
                bias=False,
            )
            pointwise = nn.Conv2d(features, features, 1, bias=False)
            layers += [nn.ReLU(), depthwise, pointwise, _norm(features)]
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def _norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, affine=False)


def _candidate(name: str, features: int, stride: int) -> nn.Module:
    if name == "none":
        return _Zero(stride)
    if name == "max_pool_3x3":
        return nn.Sequential(nn.MaxPool2d(3, stride, padding=1), _norm(features))
    if name == "avg_pool_3x3":
        pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        return nn.Sequential(pool, _norm(features))
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else _FactorizedReduce(features, features)
    kernel = int(name[-1])
    if name.startswith("sep_conv"):
        return _DepthwiseConv(features, kernel, (stride, 1), dilation=1)
    return _DepthwiseConv(features, kernel, (stride,), dilation=2)
