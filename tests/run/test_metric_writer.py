"""What metric files promise: no line twice, and none that is torn."""

import pytest

from jaxnas.run import metric_writer


@pytest.mark.parametrize(
    "tail",
    [b'{"step": 3}\n', b'{"step": 2}', b'{"ste', b"\x00\x00", b'{"epoch": 1}\n', b"[]\n"],
)
def test_cuts_lines_beyond_the_step_and_torn_ones(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    whole = b'{"step": 1}\n{"step": 2}\n{"step": 2, "epoch": 1}\n'
    path.write_bytes(whole + tail)
    with metric_writer.open_lines(path, 2) as lines:
        lines.write([{"step": 3, "loss/train": float("inf"), "gates": [[1.0, float("nan")]]}])
        lines.sync()
    expected = whole + b'{"step": 3, "loss/train": null, "gates": [[1.0, null]]}\n'
    assert path.read_bytes() == expected
