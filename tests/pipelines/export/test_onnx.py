import numpy as np
import pytest

from tests import standalone_toys

onnx = pytest.importorskip("onnx", reason="of the extra `export`")
onnxruntime = pytest.importorskip("onnxruntime", reason="of the extra `export`")

from jaxnas.pipelines.export import onnx_file  # noqa: E402


def encoded(name):
    toy = standalone_toys.made(name)
    return onnx_file.encoded(toy.whole, toy.variables, toy.facts, {"class_names": ["a"]})


@pytest.mark.parametrize("name", standalone_toys.NAMES)
def test_the_file_computes_what_the_network_does(name):
    toy = standalone_toys.made(name)
    session = onnxruntime.InferenceSession(encoded(name), providers=["CPUExecutionProvider"])
    [logits] = session.run(["logits"], {"pixels": toy.pixels})
    np.testing.assert_allclose(logits, toy.logits, rtol=1e-4, atol=1e-5)


def test_the_file_takes_any_number_of_bytes_and_bears_its_facts():
    model = onnx.load_from_string(encoded("nasbench201"))
    [pixels], [logits] = model.graph.input, model.graph.output
    sides = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert sides == ["batch", 8, 8, 2]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in logits.type.tensor_type.shape.dim] == ["batch", 3]
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "jaxnas": '{"class_names": ["a"]}'
    }


def test_each_layer_is_one_node_and_every_weight_is_used():
    model = onnx.load_from_string(encoded("darts"))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Transpose") == 1  # of the pixels
    assert kinds.count("Gemm") == 1 and kinds.count("Conv") > 10
    used = {name for node in model.graph.node for name in node.input}
    assert {weight.name for weight in model.graph.initializer} <= used
