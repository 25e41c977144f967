"""Published genotypes by name.

Sources: the `genotypes.py` of quark0/darts, yuhuixu1993/PC-DARTS, chenxin061/pdarts,
xiangning-chen/DrNAS, ruocwang/darts-pt, Sunshine-Ye/Beta-DARTS and D-X-Y/AutoDL-Projects.
"""

from collections.abc import Mapping

from jaxnas.spaces.genotype import Cell, Genotype

SHORT = {
    "s3": "sep_conv_3x3",
    "s5": "sep_conv_5x5",
    "s7": "sep_conv_7x7",
    "d3": "dil_conv_3x3",
    "d5": "dil_conv_5x5",
    "mp": "max_pool_3x3",
    "ap": "avg_pool_3x3",
    "sk": "skip_connect",
    "c7": "conv_7x1_1x7",
}


def _cell(text: str) -> Cell:
    """From "op,source op,source | ...", a group a node; `> 4 5`: the concatenated nodes."""
    nodes, _, concat = text.partition(">")
    groups = [[pair.split(",") for pair in group.split()] for group in nodes.split("|")]
    edges = tuple((int(s), 2 + n, SHORT[op]) for n, pairs in enumerate(groups) for op, s in pairs)
    nodes_of_cell = range(2, 2 + len(groups))
    return Cell(edges, 2, tuple(int(n) for n in concat.split()) or tuple(nodes_of_cell))


def _darts(normal: str, reduce: str) -> Genotype:
    return Genotype("darts", {"normal": _cell(normal), "reduce": _cell(reduce)})


PUBLISHED: Mapping[str, Genotype] = {
    "NASNet": _darts(
        "s5,1 s3,0 | s5,0 s3,0 | ap,1 sk,0 | ap,0 ap,0 | s3,1 sk,1",
        "s5,1 s7,0 | mp,1 s7,0 | ap,1 s5,0 | sk,3 ap,2 | s3,2 mp,1 > 4 5 6",
    ),
    "AmoebaNet": _darts(
        "ap,0 mp,1 | s3,0 s5,2 | s3,0 ap,3 | s3,1 sk,1 | sk,0 ap,1 > 4 5 6",
        "ap,0 s3,1 | mp,0 s7,2 | s7,0 ap,1 | mp,0 mp,1 | c7,0 s3,5 > 3 4 6",
    ),
    "DARTS_V1": _darts(
        "s3,1 s3,0 | sk,0 s3,1 | sk,0 s3,1 | s3,0 sk,2",
        "mp,0 mp,1 | sk,2 mp,0 | mp,0 sk,2 | sk,2 ap,0",
    ),
    "DARTS_V2": _darts(
        "s3,0 s3,1 | s3,0 s3,1 | s3,1 sk,0 | sk,0 d3,2",
        "mp,0 mp,1 | sk,2 mp,1 | mp,0 sk,2 | sk,2 mp,1",
    ),
    "PC_DARTS_cifar": _darts(
        "s3,1 sk,0 | s3,0 d3,1 | s5,0 s3,1 | ap,0 d3,1",
        "s5,1 mp,0 | s5,1 s5,2 | s3,0 s3,3 | s3,1 s3,2",
    ),
    "PC_DARTS_image": _darts(
        "sk,1 s3,0 | s3,0 sk,1 | s3,1 s3,3 | s3,1 d5,4",
        "s3,0 sk,1 | d5,2 mp,1 | s3,2 s3,1 | s5,0 s3,3",
    ),
    "PDARTS": _darts(
        "sk,0 d3,1 | sk,0 s3,1 | s3,1 s3,3 | s3,0 d5,4",
        "ap,0 s5,1 | s3,0 d5,2 | mp,0 d3,1 | d3,1 d5,3",
    ),
    "DrNAS_cifar10": _darts(
        "s3,0 s5,1 | s3,1 s3,2 | sk,0 s3,1 | s3,2 d5,3",
        "mp,0 s5,1 | d5,2 s5,1 | s5,1 d5,3 | sk,4 s5,1",
    ),
    "DrNAS_imagenet": _darts(
        "s3,1 s3,0 | s3,0 s3,1 | s3,0 d3,3 | sk,0 s3,1",
        "mp,0 s3,1 | s3,0 sk,2 | s3,0 s3,2 | s3,3 s3,1",
    ),
    "darts_pt_s5_0": _darts(
        "s3,0 s3,1 | s5,0 d3,1 | sk,0 sk,2 | sk,0 mp,4",
        "s3,0 ap,1 | d5,1 d3,2 | ap,0 mp,2 | s3,2 sk,4",
    ),
    "darts_pt_s5_3": _darts(
        "s3,0 s3,1 | s3,0 s3,1 | sk,0 sk,2 | s3,1 sk,3",
        "ap,0 s5,1 | mp,1 sk,2 | d5,1 mp,3 | s5,2 sk,3",
    ),
    "beta_c10_s5": _darts(
        "s3,1 sk,0 | sk,0 d3,2 | sk,0 s3,1 | d3,3 sk,0",
        "sk,1 mp,0 | ap,0 s5,2 | mp,0 sk,2 | sk,2 d3,4",
    ),
    "GDAS_V1": _darts(
        "sk,0 sk,1 | sk,0 s5,2 | s3,3 sk,0 | s5,4 s3,3",
        "s5,0 s3,1 | s5,2 s5,1 | d5,2 s3,1 | s5,0 s5,1",
    ),
}
