"""A model of columns is read back as it was written, or refused in one line."""

import json

import numpy as np
import pytest

from jaxnas.hardware.columns import column_file, column_model
from jaxnas.hardware.predict import model_file, predictor_file
from tests import broken_models, column_toys


@pytest.fixture(scope="module")
def model():
    found = column_toys.measured(40)
    return column_model.fit(found._replace(constants={"heads_of_keys": 1.0}))


def test_is_read_back_as_it_was_written(model, tmp_path):
    column_file.save(tmp_path / "model.json", model)
    assert column_file.is_one(tmp_path / "model.json")
    back = column_file.load(tmp_path / "model.json", device="made up")
    values = column_toys.rows(20, 3)
    np.testing.assert_array_equal(back.predict(values), model.predict(values))
    assert (back.names, back.constants) == (model.names, model.constants)
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
    with pytest.raises(model_file.ModelFileError, match="not of the format"):
        predictor_file.load(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        *broken_models.OF_EVERY_KIND,
        (lambda r: json.dumps(r | {"constant": float("nan")}), "no whole model"),
        (lambda r: json.dumps(r | {"names": r["names"][:-1]}), "no whole model"),
        (lambda r: json.dumps(r | {"names": [1] * 10}), "no whole model"),
        (lambda r: json.dumps(r | {"names": 5}), "no whole model"),
        (lambda r: json.dumps(r | {"weights": {"quadruple": [1.0]}}), "no whole model"),
        (lambda r: json.dumps(r | {"weights": {"pair": [1.0]}}), "no whole model"),
        (lambda r: json.dumps(r | {"weights": []}), "no whole model"),
        (lambda r: json.dumps(r | {"means": [[1.0]]}), "no whole model"),
        (lambda r: json.dumps(r | {"constants": {"a": "b"}}), "no whole model"),
        (lambda r: json.dumps(r | {"constants": None}), "no whole model"),
        (lambda r: json.dumps(r | {"median": 0}), "no whole model"),
        (lambda r: json.dumps(r | {"ranges": r["ranges"][::-1]}), "no whole model"),
        (lambda r: json.dumps(r | {"log_factor": 10**400}), "no whole model"),
        (lambda r: json.dumps({k: v for k, v in r.items() if k != "slopes"}), "no whole model"),
    ],
)
def test_refuses_a_file_that_holds_no_model(model, tmp_path, spoil, cause):
    path = tmp_path / "model.json"
    column_file.save(path, model)
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.raises(model_file.ModelFileError, match=cause) as refused:
        column_file.load(path)
    assert "\n" not in str(refused.value)


def test_refuses_another_device_and_what_cannot_be_read(model, tmp_path):
    column_file.save(tmp_path / "model.json", model)
    with pytest.raises(model_file.ModelFileError, match="on 'made up', not on 'mine'"):
        column_file.load(tmp_path / "model.json", device="mine")
    with pytest.raises(model_file.ModelFileError, match="Cannot read"):
        column_file.load(tmp_path / "missing.json")
    assert not column_file.is_one(tmp_path / "missing.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{")
    assert not column_file.is_one(tmp_path / "bytes.json")
