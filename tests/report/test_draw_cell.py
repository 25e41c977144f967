"""Cells as pictures: everything is drawn, and nothing lies on top of anything."""

import itertools
import xml.etree.ElementTree as ElementTree

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from jaxnas.report import cell_layout, draw_cell, figures
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.genotype import Cell

pytestmark = pytest.mark.filterwarnings("error")


def parse(text: str, concat: tuple[int, ...]) -> Cell:
    """A two-input cell from pairs op,source, two a node, as papers print them."""
    names = {
        "s3": "sep_conv_3x3", "s5": "sep_conv_5x5", "s7": "sep_conv_7x7", "d3": "dil_conv_3x3",
        "d5": "dil_conv_5x5", "mp": "max_pool_3x3", "ap": "avg_pool_3x3", "sk": "skip_connect",
    }  # fmt: skip
    pairs = [pair.split(",") for pair in text.split()]
    edges = tuple((int(s), 2 + i // 2, names[op]) for i, (op, s) in enumerate(pairs))
    return Cell(edges, 2, concat)


CELLS = {
    "DARTS_V2 normal": parse("s3,0 s3,1 s3,0 s3,1 s3,1 sk,0 sk,0 d3,2", (2, 3, 4, 5)),
    "DARTS_V2 reduce": parse("mp,0 mp,1 sk,2 mp,1 mp,0 sk,2 sk,2 mp,1", (2, 3, 4, 5)),
    "PC-DARTS ImageNet": parse("sk,1 s3,0 s3,0 sk,1 s3,1 s3,3 s3,1 d5,4", (2, 3, 4, 5)),
    "NASNet normal": parse("s5,1 s3,0 s5,0 s3,0 ap,1 sk,0 ap,0 ap,0 s3,1 sk,1", (2, 3, 4, 5, 6)),
    "NASNet reduce": parse("s5,1 s7,0 mp,1 s7,0 ap,1 s5,0 sk,3 ap,2 s3,2 mp,1", (4, 5, 6)),
    "NAS-Bench-201": Cell(
        (
            (0, 1, "nor_conv_3x3"), (0, 2, "nor_conv_1x1"), (1, 2, "avg_pool_3x3"),
            (0, 3, "skip_connect"), (1, 3, "none"), (2, 3, "nor_conv_3x3"),
        ),
        1,
        (3,),
    ),
}  # fmt: skip


@pytest.fixture(params=CELLS, ids=lambda name: name.replace(" ", "_"))
def cell(request):
    return CELLS[request.param]


def boxes(placed: cell_layout.Layout) -> list[tuple[float, float, float, float]]:
    """(left, right, low, high) of everything but curves."""
    half = cell_layout.NODE / 2
    rectangles = [(x - half, x + half, y - half, y + half) for x, y in placed.nodes.values()]
    if placed.output:
        x, y = placed.output
        rectangles.append((x - half, x + half, y - half, y + half))
    for op in placed.operations:
        x, y = op.centre
        wide, high = op.width / 2, cell_layout.PILL / 2
        rectangles.append((x - wide, x + wide, y - high, y + high))
    return rectangles


def assert_nothing_overlaps(placed: cell_layout.Layout) -> None:
    for a, b in itertools.combinations(boxes(placed), 2):
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (a, b)
    for link in placed.links:
        if not link.lane_end:
            continue
        (start, y), (end, _) = link.end, link.lane_end
        for left, right, low, high in boxes(placed):
            assert right <= start or end <= left or not low < y < high, (link, left)


def place(any_cell: Cell) -> cell_layout.Layout:
    return cell_layout.lay_out(any_cell, {op: 12.0 * len(op) for _, _, op in any_cell.edges}, 46)


def test_everything_is_placed_and_nothing_overlaps(cell):
    placed = place(cell)
    assert sorted(op.edge for op in placed.operations) == sorted(cell.edges)
    assert set(placed.nodes) == set(range(1 + max(target for _, target, _ in cell.edges)))
    assert (placed.output is None) == (len(cell.concat) == 1)
    assert_nothing_overlaps(placed)


def test_curves_run_only_between_columns(cell):
    placed = place(cell)
    for link in placed.links:
        low, high = link.start[0], link.end[0]
        assert high - low == pytest.approx(cell_layout.CURVES)
        for left, right, _, _ in boxes(placed):
            assert right <= low + 1e-6 or high <= left + 1e-6


def test_sources_stand_left_of_what_they_feed(cell):
    placed = place(cell)
    for op in placed.operations:
        source, target, _ = op.edge
        assert placed.nodes[source][0] < op.centre[0] < placed.nodes[target][0]


@strategies.composite
def random_cells(draw_from):
    inputs = draw_from(strategies.integers(1, 3))
    last = inputs + draw_from(strategies.integers(1, 5))
    op = strategies.sampled_from(["none", "skip_connect", "sep_conv_3x3", "mine"])
    edges = []
    for target in range(inputs, last):
        for _ in range(draw_from(strategies.integers(1, 3))):
            edges.append((draw_from(strategies.integers(0, target - 1)), target, draw_from(op)))
    concat = draw_from(strategies.sets(strategies.integers(inputs, last - 1), min_size=1))
    return Cell(tuple(edges), inputs, tuple(sorted(concat)))


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(random_cells())
def test_any_cell_is_placed_without_overlap(any_cell):
    cell_layout.check(any_cell)
    placed = place(any_cell)
    assert sorted(op.edge for op in placed.operations) == sorted(any_cell.edges)
    assert_nothing_overlaps(placed)


def test_spread_is_the_closest_arrangement_with_room():
    assert cell_layout.spread([0, 100], [10, 10]) == [0, 100]
    assert cell_layout.spread([5, 5], [10, 10]) == [0, 10]
    assert cell_layout.spread([0, 0, 50], [10, 10, 10]) == [-5, 5, 50]


def test_svg_is_well_formed_named_and_the_same_each_time(cell):
    picture = draw_cell.cell_svg(cell, "normal cell")
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert root.attrib["role"] == "img"
    label = root.attrib["aria-label"]
    for source, target, op in cell.edges:
        assert f"{draw_cell.label(op)} from {source} to {target}" in label
    assert picture == draw_cell.cell_svg(cell, "normal cell")


def test_labels_fit_their_pills(cell):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import FancyBboxPatch

    placed = draw_cell._laid_out(cell)
    with figures.figure(*draw_cell._size(placed, "")) as fig:
        FigureCanvasAgg(fig)
        draw_cell._paint(fig, cell, placed, "")
        (axes,) = fig.axes
        fig.canvas.draw()
        shapes = [p for p in axes.patches if isinstance(p, FancyBboxPatch)]
        for text in axes.texts:
            extent = text.get_window_extent()
            if text.get_text() in {draw_cell.label(op) for _, _, op in cell.edges}:
                holders = [
                    shape.get_window_extent()
                    for shape in shapes
                    if shape.get_window_extent().contains(*extent.min)
                    and shape.get_window_extent().contains(*extent.max)
                ]
                assert len(holders) == 1, text.get_text()
            page = fig.bbox
            assert page.x0 <= extent.x0 and extent.x1 <= page.x1
            assert page.y0 <= extent.y0 and extent.y1 <= page.y1


def test_png_has_the_colours_of_its_operations(tmp_path):
    path = draw_cell.cell_png(CELLS["DARTS_V2 normal"], tmp_path / "cell.png", "normal cell")
    with Image.open(path) as image:
        assert image.width > 1000
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    colours = {tuple(int(v) for v in pixel) for pixel in np.unique(pixels, axis=0)}
    hexed = lambda name: tuple(bytes.fromhex(figures.LIGHT[name][1:]))
    assert {hexed("blue-soft"), hexed("violet-soft"), hexed("green-soft")} <= colours
    assert hexed("orange-soft") not in colours
    assert [p.name for p in tmp_path.iterdir()] == ["cell.png"]


def test_none_is_drawn_faint_and_dashed():
    picture = draw_cell.cell_svg(CELLS["NAS-Bench-201"])
    assert "stroke-dasharray" in picture
    assert "stroke-dasharray" not in draw_cell.cell_svg(CELLS["NASNet normal"])


@pytest.mark.parametrize(
    ("op", "said", "family"),
    [
        ("sep_conv_3x3", "sep conv 3×3", "separable convolution"),
        ("dil_conv_5x5", "dil conv 5×5", "dilated convolution"),
        ("nor_conv_1x1", "conv 1×1", "convolution"),
        ("conv_7x1_1x7", "conv 7×1 1×7", "convolution"),
        ("max_pool_3x3", "max pool 3×3", "pooling"),
        ("skip_connect", "skip", "skip"),
        ("none", "none", "none"),
        ("my_op", "my op", "other"),
        ("a" * 40, "a" * 23 + "…", "other"),
    ],
)
def test_operations_are_named_as_people_do(op, said, family):
    assert draw_cell.label(op) == said
    assert draw_cell.family(op).name == family


@pytest.mark.parametrize("op", ["$x^2$", "$", "<b>&", "a\nb\x00", "漢字", "\ud800"])
def test_odd_names_are_drawn_as_they_are(op):
    ElementTree.fromstring(draw_cell.cell_svg(Cell(((0, 1, op),), 1, (1,)), op))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Cell((), 1, (1,)), "without edges"),
        (Cell(((0, 1, "none"),), 0, (1,)), "input"),
        (Cell(((1, 1, "none"),), 1, (1,)), "source must come before"),
        (Cell(((0, 1, "none"),), 2, (1,)), "after the 2 inputs"),
        (Cell(((0, 1, "none"),), 1, (7,)), "concat"),
        (Cell(((0, 1, "none"),), 1, ()), "concat"),
    ],
)
def test_impossible_cells_are_refused(bad, says):
    with pytest.raises(ValueError, match=says):
        draw_cell.cell_svg(bad)


def test_file_names_are_safe_and_differ():
    stems = draw_cell.stems(["normal", "../../evil", "a b", "a/b", "A_b", ""])
    assert stems["normal"] == "cell_normal"
    assert stems["../../evil"] == "cell__evil"
    assert len({stem.lower() for stem in stems.values()}) == 6


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "cell.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        draw_cell.cell_png(CELLS["NAS-Bench-201"], path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_every_colour_has_a_name_of_its_own_in_both_schemes():
    lights = [colour.light for colour in figures.COLOURS.values()]
    assert len(set(lights)) == len(lights)
    themed = figures.themed(draw_cell.cell_svg(CELLS["NAS-Bench-201"]), "x")
    assert "var(--teal-soft)" in themed
    assert not any(light in themed for light in lights)
    assert 'id="' in themed and 'id="x-' in themed
    assert "xmlns" not in themed


@pytest.mark.parametrize("name", published.PUBLISHED)
def test_every_published_cell_is_drawn(name):
    for published_cell in published.PUBLISHED[name].cells.values():
        cell_layout.check(published_cell)
        assert_nothing_overlaps(place(published_cell))


def test_a_cell_too_large_to_read_is_refused():
    edges = tuple((node, node + 1, "skip_connect") for node in range(500))
    with pytest.raises(ValueError, match="500 edges"):
        draw_cell.cell_svg(Cell(edges, 1, (500,)))
