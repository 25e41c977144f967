"""The candidates of a mobile space alone, as programs to time."""

from jaxnas.hardware import programs
from jaxnas.hardware.programs import OPERATOR, NetworkSize, Program
from jaxnas.nets import batch_norm
from jaxnas.spaces.mobile import blocks, sizing, workload
from jaxnas.spaces.mobile import chain as chains


def operators(name: str, size: NetworkSize) -> list[Program]:
    """Each inverted bottleneck of a space at each place where the sizes differ, without repeats.

    `size.cells` are the most layers of a stage. Raises ValueError as `sizing.sized`, and for
    images that the chain makes nothing of.
    """
    height, width = size.image[:2]
    chain = sizing.sized(name, features=size.features, repeats=size.cells)
    chain = sizing.for_image(chain, height, width)
    chains.check_image(chain, height, width)
    norm = blocks.chain_norm(chain, batch_norm.norms(True, training=False).outside)
    layers, found = chains.layers(chain), {}
    sides = workload.sizes(layers, -(-height // chain.stem_stride), -(-width // chain.stem_stride))
    for layer, (rows, columns) in zip(layers, sides, strict=True):
        for op in (op for op in layer.candidates if op != chains.SKIP):
            said = {
                "format": "jaxnas operator", "space": name, "operation": op,
                "features": layer.features, "stride": layer.stride,
                "height": rows, "width": columns, "inputs": layer.inputs,
            }  # fmt: skip
            title = f"{op} {layer.inputs}-{layer.features}x{rows}x{columns} /{layer.stride}"
            if title not in found:
                module = blocks.bottleneck(layer, op, chain, norm)
                x = programs.images_of(size.batch, rows, columns, layer.inputs)
                found[title] = programs.module_alone(title, OPERATOR, said, module, x)
    return list(found.values())
