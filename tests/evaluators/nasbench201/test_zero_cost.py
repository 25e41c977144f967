"""Training-free scores from a table."""

import gzip

import numpy as np
import pytest

from jaxnas.evaluators import nasbench201 as benchmark
from tests import paths

TEXT = "index,nwot_c10,zen_c10,nwot_in16\n3,1.5,,7\n0,-2,inf,8\n"


@pytest.mark.parametrize("name", ["scores.csv", "scores.csv.gz"])
def test_reads_the_scores_of_a_data_set_by_cell(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(TEXT.encode()) if name.endswith("gz") else TEXT.encode())
    scores = benchmark.zero_cost.load(path, "c10")
    assert set(scores) == {"nwot", "zen"}
    assert scores["nwot"].shape == (15625,)
    assert (scores["nwot"][3], scores["nwot"][0]) == (1.5, -2)
    assert np.isfinite(scores["nwot"]).sum() == 2 and not np.isfinite(scores["zen"]).any()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("index,nwot_c100\n1,2\n", "no column that ends with _c10"),
        ("", "no column that ends with _c10"),
        ("cell,nwot_c10\n1,2\n", "no table of training-free scores"),
        ("index,nwot_c10\n1,x\n", "no table of training-free scores"),
        ("index,nwot_c10\n15625,2\n", "index must number cells"),
        ("index,nwot_c10\n1,2\n1,2\n", "each once"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, cause):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(benchmark.BenchmarkError, match=cause) as refused:
        benchmark.zero_cost.load(path, "c10")
    assert "\n" not in str(refused.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(benchmark.BenchmarkError, match=r"absent\.csv\.gz is no table"):
        benchmark.zero_cost.load(tmp_path / "absent.csv.gz", "c10")


def test_known_best_cells_of_the_public_scores():
    path = paths.SHARED / "nasbench" / "nb201_zerocost.csv.gz"
    if not path.exists():
        pytest.skip(f"no training-free scores: {path}")
    truth = benchmark.load(paths.SHARED / "nasbench" / "nb201.npz")
    scores = benchmark.zero_cost.load(path, "c10")
    best = lambda name: truth.test[0, -1, np.nanargmax(scores[name])]
    assert np.isfinite(scores["nwot"]).sum() == 9445
    found = [best(name) for name in ("nwot", "jacov", "synflow")]
    assert found == pytest.approx([93.31, 92.09, 93.76], abs=0.01)
