"""The committed int8 network in fp32 kernels: what the integer kernels gain in speed, and what the rounding of their inputs costs.

    python dequantise.py --out DIR [--checkpoint init.pt]

With --checkpoint also as a checkpoint, from which ``train.py --init`` goes on.
Weights are those that int8 rounds to, so the difference to int8 is the rounding of activations alone. (What rounding the weights costs needs the weights
before it: ``export.py --float``.)
"""

import argparse
import json
import pathlib
import shutil

import numpy as np
import onnx
from onnx import helper, numpy_helper


def floating(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph of ``export.py`` before ``quantise``, from the graph after it."""
    held = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    source: dict[str, str] = {}  # name of a rounded activation -> what was rounded
    weights, nodes = {}, []
    makers = {name: node for node in model.graph.node for name in node.output}

    def weight(name: str) -> str:
        """Dequantised: (quantised - zero point) * scale, per tensor or per output channel."""
        stem = name.removesuffix("_quantized")
        zero, scale = (held[f"{stem}_{part}"].astype(np.float32) for part in ("zero_point", "scale"))
        weights[stem] = (held[name].astype(np.float32) - zero) * scale
        return stem

    for node in model.graph.node:
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        made = lambda kind, inputs, output=node.output, domain="com.microsoft": nodes.append(
            helper.make_node(kind, inputs, output, domain=domain, **attributes)
        )
        if node.op_type == "DynamicQuantizeLinear":
            source[node.output[0]] = node.input[0]
        elif node.op_type == "QEmbedLayerNormalization":
            embedded = [weight(name) if name else "" for name in node.input[2:7]]
            made("EmbedLayerNormalization", [*node.input[:2], *embedded])
        elif node.op_type == "QAttention":
            made("Attention", [source[node.input[0]], weight(node.input[1]), node.input[2]])
        elif node.op_type == "Mul" and makers.get(node.input[0], node).op_type == "Cast":
            product = makers[makers[node.input[0]].input[0]]
            made("MatMul", [source[product.input[0]], weight(product.input[1])], domain="")
        elif node.op_type not in ("MatMulInteger", "Cast", "Mul"):
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    kept += [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, model.graph.name, model.graph.input, model.graph.output, kept)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def dequantise(folder: pathlib.Path, out: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for segment in json.loads((folder / "model.json").read_text())["segments"]:
        onnx.save(floating(onnx.load(folder / segment["file"])), out / segment["file"])
    shutil.copy(folder / "tokenizer.json", out)


def checkpoint(folder: pathlib.Path) -> dict:
    """The weights by their names in ``network.py``, of the fp32 segments in ``folder``."""
    import torch

    from network import SentimentNetwork

    wanted, state = SentimentNetwork().state_dict(), {}
    for path in sorted(folder.glob("segment*.onnx")):
        for one in onnx.load(path).graph.initializer:
            name = one.name.removesuffix("_Transposed")
            if name in wanted:
                value = torch.tensor(numpy_helper.to_array(one).copy())
                turned = name != one.name or (value.ndim == 2 and name.startswith("layers"))
                state[name] = value.T.contiguous() if turned else value
    return state


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--model", default=here, type=pathlib.Path)
    cli.add_argument("--out", required=True, type=pathlib.Path)
    cli.add_argument("--checkpoint", type=pathlib.Path)
    args = cli.parse_args()
    dequantise(args.model, args.out)
    if args.checkpoint:
        import torch

        torch.save({"model": checkpoint(args.out)}, args.checkpoint)


if __name__ == "__main__":
    main()
