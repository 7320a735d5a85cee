"""Export a trained checkpoint: ONNX, fused, int8, plus tokenizer.json and model.json.

    python export.py --checkpoint final.pt --val VAL.tsv --version 1.0.0 [--work DIR] [--out .]

Writes to --out: ``model.onnx`` (int8 weights and dynamic int8 activations), ``tokenizer.json``, ``model.json``
and ``golden.json``; to --work: ``fp32.onnx`` and ``fused.onnx`` for comparison. The softmax temperature is fitted
on the even lines of VAL; the metrics in model.json are measured on the odd lines and on all of VAL
(``evaluate.py`` prints the same).
"""

import argparse
import hashlib
import json
import pathlib

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

import evaluate
from labels import LABELS, MAX_TOKENS
from network import SentimentNetwork, base_dir
from text_tokenizer import build


FLOAT_LAYERS = (0, 1, 2)


def export_fp32(checkpoint: pathlib.Path, target: pathlib.Path) -> None:
    model = SentimentNetwork(pretrained=False)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["model"])
    model.eval()
    example = torch.randint(1000, 2000, (2, 16))
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        model,
        (example, torch.ones_like(example)),
        target,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def fuse(source: pathlib.Path, target: pathlib.Path) -> None:
    options = FusionOptions("bert")
    fused = optimizer.optimize_model(
        str(source), model_type="bert", num_heads=12, hidden_size=384, optimization_options=options, opt_level=0
    )
    print("fused operators:", {k: v for k, v in fused.get_fused_operator_statistics().items() if v})
    fused.save_model_to_file(str(target))


def quantise(source: pathlib.Path, target: pathlib.Path) -> None:
    """Weights to int8, except the second feed-forward product of the first layers: its inputs have outliers, which one
    int8 scale per tensor cannot hold (5 MB more, a third less error; README.md has the figures)."""
    names = [node.name for node in onnx.load(source).graph.node if node.op_type == "MatMul"]
    kept = [f"layer.{layer}/output/dense" for layer in FLOAT_LAYERS]
    quantize_dynamic(
        source,
        target,
        nodes_to_exclude=[name for name in names if any(part in name for part in kept)],
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    model = onnx.load(target)
    model.producer_name = "vigie models/sentiment/export.py"
    onnx.save(model, target)


GOLDEN_TEXTS = [
    "BTC to the moon 🚀🚀",
    "got absolutely rekt, account is gone 😭",
    "Weekly discussion thread",
    "@alice and @bob@example.social look: https://example.org/a?b=c, it\u2019s \u201cgreat\u201d",
    "mail me at someone@example.org or www.example.org/x &amp; tell me &lt;why&gt;",
    "WAGMI",
    "Le café fermé, señor Müller: 買う BTC 吧",
    "this is awful ❤️ no wait, I love it 💔",
    "UST lost its peg again and nobody from the team is talking",
    "a\u0000b\u200bc \ufffd tab\tand\nline",
]


def write_golden(out: pathlib.Path, temperature: float) -> None:
    """``golden.json``: probabilities of a few awkward texts, which the Rust side must reproduce."""
    logits, _ = evaluate.logits_of(out / "model.onnx", out / "tokenizer.json", GOLDEN_TEXTS)
    rows = evaluate.probabilities(logits.astype(float), temperature).round(6).tolist()
    golden = [{"text": text, "probabilities": row} for text, row in zip(GOLDEN_TEXTS, rows)]
    (out / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--checkpoint", required=True, type=pathlib.Path)
    cli.add_argument("--val", required=True)
    cli.add_argument("--crypto-val", default=str(pathlib.Path(__file__).parent / "crypto_val.tsv"))
    cli.add_argument("--version", required=True)
    cli.add_argument("--work", default="/tmp/vigie-sentiment", type=pathlib.Path)
    cli.add_argument("--out", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    args = cli.parse_args()

    args.work.mkdir(parents=True, exist_ok=True)
    fp32, fused, int8 = args.work / "fp32.onnx", args.work / "fused.onnx", args.out / "model.onnx"
    export_fp32(args.checkpoint, fp32)
    fuse(fp32, fused)
    quantise(fused, int8)
    spec = build((base_dir() / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = args.out / "tokenizer.json"
    tokenizer.write_text(json.dumps(spec, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

    metrics, temperature = evaluate.report(int8, tokenizer, args.val, args.crypto_val, None)
    fp32_metrics, _ = evaluate.report(fused, tokenizer, args.val, args.crypto_val, None)
    sha256 = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    card = {
        "name": "minilm-l6-sentiment",
        "version": args.version,
        "sha256": sha256(int8),
        "tokenizer_sha256": sha256(tokenizer),
        "labels": LABELS,
        "language": "en",
        "max_tokens": MAX_TOKENS,
        "temperature": round(temperature, 4),
        "licence": "Apache-2.0",
        "base": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "precision": "int8 weights (per channel) and dynamic int8 activations; feed-forward output of layers 0 to 2 in fp32",
        "metrics": metrics,
        "metrics_fp32": fp32_metrics,
    }
    write_golden(args.out, temperature=card["temperature"])
    (args.out / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
