"""Scripts as commands: bad input is one line and exit code 2, before anything is written."""

import pytest

from experiments import ablate, cifar10, nasbench201, net_adapt, ranking, retrain, search, targets


@pytest.mark.parametrize(
    ("cli", "words", "cause"),
    [
        (nasbench201.cli, "--methods dart", "No method is called 'dart'"),
        (nasbench201.cli, "--methods gdas gdas", "each once"),
        (nasbench201.cli, "--methods gdas --set darts.order=1", "has no effect"),
        (nasbench201.cli, "--table absent.npz", "No table absent.npz"),
        (nasbench201.cli, "--sample 1", "--sample is 1"),
        (nasbench201.cli, "--epoch 3", "--epochs"),
        (nasbench201.cli, "--methods spos --set spos.epochs=x", "epochs are a whole number"),
        (ranking.cli, "--table absent.npz", "No table absent.npz"),
        (ranking.cli, "--points 5", "--points is 5"),
        (cifar10.cli, "--retrain.preset paper", "--preset decides it"),
        (cifar10.cli, "--seeds -1", "--seed is -1"),
        (cifar10.cli, "--methods dart", "No method is called 'dart'"),
        (net_adapt.cli, "nothing.json", "No genotype 'nothing.json'"),
        (net_adapt.cli, "DARTS_V2 --cut-features 16", "--cut-features is below --features"),
        (targets.cli, "--latency nothing", "--targets-ms names one target or more"),
        (targets.cli, "--latency nothing --targets-ms 1", "nothing"),
        (targets.cli, "--targets-ms 1 --judge table", "--judge table needs --table"),
        (search.cli, "--epochs 0", "--epochs is 0"),
        (search.cli, "--batch-size x", "--batch-size cannot be 'x'"),
        (retrain.cli, "--data absent.npz", "absent.npz: no such file"),
        (ablate.cli, "--seeds 0 0", "seeds has 0 twice"),
        (ablate.cli, "--epochs 0", "--epochs is 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli, words, cause, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXNAS_NASBENCH201", raising=False)
    assert cli(words.split()) == 2
    out, err = capsys.readouterr()
    assert cause in err and err.startswith("jaxnas: ") and err.count("\n") == 1
    assert out == "" and not list(tmp_path.iterdir())
