"""Export a trained checkpoint: one int8 ONNX file per segment of the network, tokenizer.json, model.json and golden.json.

    python export.py --checkpoint final.pt [OTHER.pt ...] --val VAL.tsv... [--language fr=FILE.tsv] --version 2.0.1 [--out .] [--float DIR]

The graphs are written node by node with ONNX Runtime's fused transformer operators (com.microsoft), which its optimiser would otherwise
have to find. ``segment0.onnx``: ids int32 [batch, tokens] -> logits [batch, 3], hidden [batch, tokens, 384]; the later ones: hidden in, the same
out, the last without ``hidden``. There is no mask: the texts of a batch have equally many tokens. ``--float`` also keeps the fp32 files.
Of several checkpoints of one run the mean of the weights is taken (Izmailov et al. 2018). Temperatures and exit thresholds are fitted by ``calibrate.py``, which this calls.
"""

import argparse
import hashlib
import json
import pathlib
import tempfile

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import calibrate
from labels import LABELS, MAX_TOKENS
from network import EPSILON, EXITS, HEADS, HIDDEN, base_dir
from text_tokenizer import build

MICROSOFT = "com.microsoft"


class Graph:
    """Nodes and weights of one segment."""

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state, self.nodes, self.weights = state, [], []

    def weight(self, name: str, transpose: bool = False) -> str:
        value = self.state[name].float().numpy()
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value.T if transpose else value), name))
        return name

    def whole(self, name: str, value: int | list[int], kind: type = np.int64) -> str:
        self.weights.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, domain: str = "", extra: tuple[str, ...] = (), **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name, *extra], name=name, domain=domain, **attributes))
        return name

    def matmul(self, x: str, name: str) -> str:
        return self.node("MatMul", [x, self.weight(f"{name}.weight", transpose=True)], f"{name}/matmul")

    def norm(self, x: str, skip: str, norm: str, bias: str) -> str:
        inputs = [x, skip, *(self.weight(f"{norm}.{part}") for part in ("weight", "bias")), self.weight(bias)]
        return self.node("SkipLayerNormalization", inputs, norm, MICROSOFT, epsilon=EPSILON)

    def embed(self, ids: str) -> str:
        names = ("words.weight", "positions.weight")
        words, positions = (self.weight(name) for name in names)
        inputs = [ids, "", words, positions, "", self.weight("norm.weight"), self.weight("norm.bias")]
        return self.node("EmbedLayerNormalization", inputs, "norm", MICROSOFT, extra=("mask_index",), epsilon=EPSILON)

    def layer(self, x: str, i: int, heads: int = HEADS) -> str:
        at = f"layers.{i}"
        qkv = [x, self.weight(f"{at}.qkv.weight", transpose=True), self.weight(f"{at}.qkv.bias")]
        mixed = self.node("Attention", qkv, f"{at}.attention", MICROSOFT, num_heads=heads)
        x = self.norm(self.matmul(mixed, f"{at}.out"), x, f"{at}.norm1", f"{at}.out.bias")
        up = self.matmul(x, f"{at}.up")
        up = self.node("BiasGelu", [up, self.weight(f"{at}.up.bias")], f"{at}.gelu", MICROSOFT)
        return self.norm(self.matmul(up, f"{at}.down"), x, f"{at}.norm2", f"{at}.down.bias")

    def head(self, x: str, number: int) -> None:
        pooled = self.node("ReduceMean", [x], "pooled", axes=[1], keepdims=0)
        parts = [self.weight(f"heads.{number}.{part}") for part in ("weight", "bias")]
        self.node("Gemm", [pooled, *parts], "logits", transB=1)


def dither(state: dict[str, torch.Tensor], origin: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``state`` with each matrix rounded up or down at random, in proportion to what is nearer, in the steps of ``origin``, whose weights are
    whole numbers of them. The nearest step would be the old one for 99 % of the weights after a short pass, and nothing learnt would be left."""
    random, out = torch.Generator().manual_seed(1), dict(state)
    for name, old in origin.items():
        if name.startswith("layers") and old.ndim == 2:
            step = old.abs().amax(1, keepdim=True) / 64
            before = (old / step).round()
            after = torch.floor(state[name] / step + torch.rand(old.shape, generator=random)).clamp(-64, 64)
            # The largest weight of a channel stays, since its step is known by it.
            out[name] = torch.where(before.abs() == 64, before, after) * step
    return out


def segment(state: dict[str, torch.Tensor], number: int) -> onnx.ModelProto:
    graph = Graph(state)
    if number == 0:
        x, source = graph.embed("ids"), ("ids", TensorProto.INT32, ["batch", "tokens"])
    else:
        x, source = "hidden_in", ("hidden_in", TensorProto.FLOAT, ["batch", "tokens", HIDDEN])
    for layer in range(EXITS[number - 1] if number else 0, EXITS[number]):
        x = graph.layer(x, layer)
    graph.head(x, number)
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])]
    if number + 1 < len(EXITS):
        graph.node("Identity", [x], "hidden")
        outputs.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", "tokens", HIDDEN]))
    made = helper.make_graph(graph.nodes, f"segment{number}", [helper.make_tensor_value_info(*source)], outputs, graph.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="vigie models/sentiment/export.py")


def quantise(source: pathlib.Path, target: pathlib.Path) -> None:
    """Weights to int8 per channel in 7 bits (u8s8 sums of AVX2 would saturate with 8), inputs to uint8 at run time."""
    quantize_dynamic(
        source,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )
    model = onnx.load(target)
    model.producer_name = "vigie models/sentiment/export.py"
    onnx.save(model, target)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--checkpoint", required=True, nargs="+", type=pathlib.Path)
    cli.add_argument("--val", required=True, nargs="+")
    cli.add_argument("--language", nargs="*", default=[], help="CODE=FILE.tsv: languages with temperatures of their own")
    cli.add_argument("--version", required=True)
    cli.add_argument("--origin", type=pathlib.Path, help="checkpoint of exported weights (dequantise.py) from which a short pass went on")
    cli.add_argument("--out", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    cli.add_argument("--float", type=pathlib.Path)
    args = cli.parse_args()

    states = [torch.load(path, map_location="cpu")["model"] for path in args.checkpoint]
    state = {name: sum(one[name] for one in states) / len(states) for name in states[0]}
    if args.origin:
        state = dither(state, torch.load(args.origin, map_location="cpu")["model"])
    files = []
    with tempfile.TemporaryDirectory() as scratch:
        floats = args.float or pathlib.Path(scratch)
        floats.mkdir(parents=True, exist_ok=True)
        for number in range(len(EXITS)):
            name = f"segment{number}.onnx"
            onnx.save(segment(state, number), floats / name)
            quantise(floats / name, args.out / name)
            files.append(name)
    spec = build((base_dir() / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = args.out / "tokenizer.json"
    tokenizer.write_text(json.dumps(spec, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    if args.float:
        (args.float / "tokenizer.json").write_bytes(tokenizer.read_bytes())

    sha256 = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    card = {
        "name": "minilm-l6-sentiment",
        "version": args.version,
        "tokenizer_sha256": sha256(tokenizer),
        "labels": LABELS,
        "languages": ["en", "fr"],
        "max_tokens": MAX_TOKENS,
        "segments": [{"file": name, "sha256": sha256(args.out / name)} for name in files],
        "licence": "Apache-2.0",
        "base": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "precision": "int8 weights (per channel), dynamic uint8 activations",
    }
    before = args.out / "model.json"
    heads = json.loads(before.read_text(encoding="utf-8")) if before.is_file() else {}
    card |= {name: heads[name] for name in ("mood", "spam", "turns") if name in heads}
    if "mood" in card:
        print("the head for moods is kept, but it was trained on the states of other weights: train it again (README.md)")
    calibrate.calibrate(card, args.out, args.val, dict(pair.split("=", 1) for pair in args.language))


if __name__ == "__main__":
    main()
