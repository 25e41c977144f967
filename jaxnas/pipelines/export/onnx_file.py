"""`model.onnx`: a traced network with its preprocessing, class names in the metadata."""

import json
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from jaxnas.nets.standalone.source import Facts
from jaxnas.nets.standalone.trace import ModuleCall
from jaxnas.pipelines.export import onnx_graph

# The newest operator set that the runtimes of the last two years know (our choice).
OPSET, IR_VERSION = 20, 9


def encoded(
    whole: ModuleCall, variables: Mapping[str, np.ndarray], facts: Facts, about: Mapping
) -> bytes:
    """The file of a network: `pixels` u8[B, H, W, C] -> `logits` f32[B, classes].

    `about` goes into the metadata, as JSON under `jaxnas`. Raises SourceError for what has no ONNX
    form, and onnx's own errors for an invalid model.
    """
    graph = onnx_graph.begin(variables, "pixels")
    last = lambda values: np.asarray(values, np.float32).reshape(1, -1, 1, 1)
    x = graph.add("Cast", ["pixels"], to=TensorProto.FLOAT)
    x = graph.add("Transpose", [x], perm=onnx_graph.FIRST)
    x = graph.add("Div", [x, graph.constant(255)])
    x = graph.add("Sub", [x, graph.constant(last(facts.mean))])
    x = graph.add("Div", [x, graph.constant(last(facts.std))])
    y = onnx_graph.add_call(graph, whole, [x])
    graph.nodes.append(helper.make_node("Identity", [y], ["logits"], name="logits"))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", *facts.image])
    shape = ["batch", len(facts.class_names)]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    used = {name for node in graph.nodes for name in node.input}
    weights = [weight for weight in graph.weights if weight.name in used]
    network = helper.make_graph(graph.nodes, "network", [pixels], [logits], weights)
    model = helper.make_model(
        network, producer_name="jaxnas", opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {"jaxnas": json.dumps(about)})
    onnx.checker.check_model(model)
    return model.SerializeToString()
