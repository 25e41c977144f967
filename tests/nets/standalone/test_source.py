import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.nets import ops
from jaxnas.nets.standalone import layers, source, trace
from jaxnas.nets.standalone.layers import SourceError
from tests import mobile_toys, standalone_toys

FACTS = source.Facts("A toy.", (8, 8, 4), ("a", "b"), (0.5,) * 4, (0.5,) * 4)


def variables_of(toy):
    return unflatten_dict({tuple(name.split("/")): x for name, x in toy.variables.items()})


@pytest.mark.parametrize("name", standalone_toys.NAMES)
def test_the_source_computes_what_the_network_does(name):
    toy = standalone_toys.made(name)
    assert not re.search("(import|from) jaxnas", toy.text)
    predict = mobile_toys.jit(standalone_toys.module(toy.text).predict)
    logits = np.asarray(predict(variables_of(toy), toy.pixels))
    np.testing.assert_allclose(logits, toy.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", standalone_toys.NAMES)
def test_its_variables_are_those_that_its_modules_make(name):
    toy = standalone_toys.made(name)
    model = standalone_toys.module(toy.text)
    image = jax.ShapeDtypeStruct((1, *toy.facts.image), jnp.float32)
    made = jax.eval_shape(model.Network().init, jax.random.key(0), image)
    shapes = {"/".join(path): x.shape for path, x in flatten_dict(made).items()}
    assert shapes == {name: x.shape for name, x in toy.variables.items()}


def test_weights_that_inference_does_not_use_are_left_out():
    toy = standalone_toys.made("narrowed")
    assert "auxiliary" in toy.weights
    assert not any("auxiliary" in name for name in toy.variables)


def test_lines_are_short_enough_to_read():
    for name in standalone_toys.NAMES:
        assert max(map(len, standalone_toys.made(name).text.splitlines())) <= 110


def test_modules_that_differ_in_integers_alone_are_one_class_with_these_as_fields():
    text = standalone_toys.made("darts").text
    [body] = [part for part in text.split("\n\n\n") if part.startswith("class SeparableConv(")]
    assert "    features: int\n" in body and "    size: int\n" in body
    assert "(self.size, self.size)" in body and "feature_group_count=self.features" in body
    assert "SeparableConv2" not in text


def test_a_cell_is_written_edge_by_edge():
    text = standalone_toys.made("nasbench201").text
    [cell] = [part for part in text.split("\n\n\n") if part.startswith("class NASBench201Cell(")]
    assert "nn.avg_pool(x, (3, 3), (1, 1), ((1, 1), (1, 1)), count_include_pad=False)" in cell
    assert "Used as cell_0_0, cell_1_0, cell_2_0." in cell


class Alone(nn.Module):
    """A module that calls `compute`."""

    compute: object

    @nn.compact
    def __call__(self, x):
        return self.compute(x)


def text_of(compute):
    infer = lambda weights, stats, x: Alone(compute).apply({"params": weights}, x)
    return source.of_network(infer, {}, {}, FACTS)[0]


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: jnp.mean(nn.silu(x) * nn.sigmoid(x), (1, 2)),
        lambda x: nn.gelu(x[:, 1:, ::2].max((1, 2))) ** 2,
        lambda x: jnp.concatenate([x - 2, -x], 1).reshape(len(x), -1) / 3,
        lambda x: jnp.pad(nn.max_pool(x, (2, 2), (2, 2)), ((0, 0), (0, 1), (0, 0), (0, 0))),
        lambda x: x + jnp.mean(x, (1, 2))[:, None, None] * jnp.exp(x[:, :1, :1]),
        lambda x: x.transpose(0, 2, 1, 3) - jnp.sqrt(jnp.abs(x)) + nn.relu6(1 - (x - (x - 1))),
    ],
)  # fmt: skip
def test_operations_between_modules_are_written_as_they_are(compute):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), np.uint8)
    model = standalone_toys.module(text_of(compute))
    np.testing.assert_allclose(
        model.predict({}, images), compute(model.preprocess(images)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        (lambda x: jnp.sort(x, 1), "computes 'sort'"),
        (lambda x: x + jnp.arange(4.0), "computes 'iota'"),
        (lambda x: x * jnp.asarray(np.float32([1, 2, 3, 4])), "array of constants"),
    ],
)
def test_what_has_no_source_is_refused_by_name(compute, reason):
    with pytest.raises(SourceError, match=reason):
        text_of(compute)


def test_noise_is_refused():
    with pytest.raises(SourceError, match="noise"):
        layers.of(ops.Noise(1), (1, 8, 8, 4))


def test_a_weight_of_a_module_itself_is_declared_in_it():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("scale", nn.initializers.ones, (4,))

    infer = lambda weights, stats, x: Scaled().apply({"params": weights}, x)
    text, _ = source.of_network(infer, {"scale": jnp.ones(4)}, {}, FACTS)
    images = np.full((1, 8, 8, 4), 255, np.uint8)
    got = standalone_toys.module(text).predict({"params": {"scale": np.arange(4.0)}}, images)
    np.testing.assert_allclose(got[0, 0, 0], [0, 1, 2, 3])


def test_padding_of_tensorflow_is_later_on_even_sides():
    around = lambda side, stride: layers._around("same", 3, stride, 1, (1, side, side, 4))[0]
    assert (around(8, 2), around(7, 2), around(8, 1)) == ((0, 1), (1, 1), (1, 1))


def test_a_grouped_kernel_becomes_flax_layout():
    layer = layers.of(ops.Pointwise(6, groups=2), (1, 8, 8, 4))
    kernel = np.arange(12).reshape(2, 2, 3)  # groups, inputs, outputs
    got = layer.kernel(kernel)
    assert got.shape == (1, 1, 2, 6)
    np.testing.assert_array_equal(got[0, 0], np.concatenate([kernel[0], kernel[1]], 1))


def test_a_trace_has_the_calls_of_a_network_in_order():
    whole = standalone_toys.made("hypercuboid").whole
    calls = [item.path for item in whole.body if isinstance(item, trace.ModuleCall)]
    assert calls == [("stem",), ("layer_0",), ("layer_1",), ("classifier",)]
