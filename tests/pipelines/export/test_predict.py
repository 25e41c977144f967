import numpy as np
import PIL.Image
import pytest

from jaxnas.data import DataError
from jaxnas.pipelines.export import predict
from jaxnas.pipelines.settings.export import ClassifySettings


def test_probabilities_are_the_softmax_of_logits_of_any_size():
    got = predict.probabilities(np.array([[1e4, 1e4, -1e4]], np.float32))
    np.testing.assert_allclose(got, [[0.5, 0.5, 0]])


def test_a_picture_is_cropped_and_scaled_to_the_network(tmp_path):
    path = str(tmp_path / "wide.png")
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 200  # the central square
    PIL.Image.fromarray(pixels).save(path)
    assert (predict.pixels_of(path, (4, 4, 3)) == 200).all()
    assert (predict.pixels_of(path, (8, 16, 3)) == pixels).all()
    assert predict.pixels_of(path, (4, 4, 1)).shape == (4, 4, 1)
    with pytest.raises(DataError, match="scale the picture"):
        predict.pixels_of(path, (4, 5, 3))
    with pytest.raises(DataError, match="2 channels"):
        predict.pixels_of(path, (4, 4, 2))


def test_settings_without_effect_are_refused():
    with pytest.raises(ValueError, match="--top"):
        predict.main(ClassifySettings("x", ("a.png",), top=0))
