"""Tables of measured rows: the nearest row by hand, and the proxy on a public log."""

import numpy as np
import pytest

from jaxnas.evaluators import logged
from tests import paths

LOG = logged.Log(
    {"size": np.array([1, 4, 8, 8]), "kind": np.array(["a", "a", "b", "a"]), "one": np.ones(4)},
    {"ms": np.array([1.0, 2.0, 3.0, 4.0])},
)


def archgym():
    path = paths.SHARED / "data" / "archgym.npz"
    if not path.exists():
        pytest.skip(f"no log of ArchGym: {path}")
    with np.load(path) as file:
        columns = dict(zip(file["knobs"].tolist(), file["settings"].T, strict=True))
        time = file["observations"][:, 0]
    return logged.Log({name: number(column) for name, column in columns.items()}, {"time": time})


def number(column):
    try:
        return column.astype(float)
    except ValueError:
        return column


def test_the_nearest_row_counts_knobs_and_distances():
    nearest = logged.logged(LOG, {"ms": False})
    ask = lambda **knobs: nearest.evaluate([knobs | {"one": 1.0}], [0])[0]["ms"]
    assert ask(size=4, kind="a") == 2
    assert ask(size=4, kind="b") == 3  # half a scale away; the same size with another name is 1
    assert ask(size=1, kind="b") == 1  # a name is as far as a whole scale: the first of equals
    with pytest.raises(ValueError, match="size is never 5 in the log: 1, 4, 8"):
        ask(size=5, kind="a")


def test_bad_logs_are_refused():
    with pytest.raises(ValueError, match="no 'mj': it has ms"):
        logged.logged(LOG, {"mj": False})
    with pytest.raises(ValueError, match="equally long, not .1, 2."):
        logged.logged(logged.Log({"a": np.ones(2)}, {"b": np.ones(1)}), {"b": True})
    negative = LOG._replace(figures={"ms": -LOG.figures["ms"]})
    with pytest.raises(ValueError, match="give logarithmic=False"):
        logged.logged(negative, {"ms": False}, "proxy")


def test_a_proxy_of_archgyms_log_predicts_rows_that_it_has_not_seen():
    log = archgym()
    rows, time = logged.encode(log, log.knobs), log.figures["time"]
    test = np.random.default_rng(0).permutation(len(time)) < len(time) // 5
    predicted = logged.fit(rows[~test], time[~test])(rows[test])
    error = np.log(predicted) - np.log(time[test])
    assert 1 - np.mean(error**2) / np.var(np.log(time[test])) >= 0.8
