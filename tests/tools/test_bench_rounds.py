"""Rules for rounds, compared on made-up noise and on a campaign."""

from tests.campaign_toys import written
from tools import bench_rounds


def test_prints_a_line_for_each_noise_and_campaign_and_rule(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_rounds, "DRAWS", 1)
    monkeypatch.setattr(bench_rounds, "HALVES", 2)
    assert bench_rounds.main([str(written(tmp_path / "mine", noise=0.01))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(bench_rounds.RULES) * (len(bench_rounds.KINDS) + 1)
    assert lines[-1].startswith("mine ") and lines[-1].endswith("no twins")
    assert "the product's   100% kept" in lines[-1]
