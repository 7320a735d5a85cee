"""Whether the int8 network answers the same on a processor without VNNI (AVX2 alone): counts the sums that would saturate there.

    python saturation.py --val VAL.tsv [--texts N] [--float DIR]
    python saturation.py --val VAL.tsv --texts N --write LOGITS.npy        once as it is, and once on the other processor,
    python saturation.py --val VAL.tsv --texts N --compare LOGITS.npy      or under: qemu-x86_64 -cpu Haswell python ...

Without VNNI, kernels multiply unsigned inputs with signed weights by ``vpmaddubsw``, which adds two neighbouring products in 16 bits and cuts
the sum off at 32,767; everything after that is exact. So every pair of products of every integer matrix product is computed here, over the texts of VAL
and all layers. With weights of 7 bits (-64 to 64) the largest possible sum is 2 * 255 * 64 = 32,640. With --float (the fp32 segments of ``export.py
--float``) the same is counted for weights of 8 bits, to show that the count can be other than 0.
"""

import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime
from numba import njit
from onnx import numpy_helper

from calibrate import read_tsv
from onnx_model import OnnxModel

LIMIT = 32767


@njit(cache=False)
def pair_sums(inputs: np.ndarray, weights: np.ndarray, limit: int) -> tuple[int, int, int]:
    """Pairs, those beyond the limit, and the largest absolute sum; inputs [tokens, k] and weights [k, n] as int32."""
    over, largest = 0, 0
    for token in range(inputs.shape[0]):
        for k in range(0, inputs.shape[1] - 1, 2):
            first, second = inputs[token, k], inputs[token, k + 1]
            for n in range(weights.shape[1]):
                total = abs(first * weights[k, n] + second * weights[k + 1, n])
                over += total > limit
                largest = max(largest, total)
    return inputs.shape[0] * (inputs.shape[1] // 2) * weights.shape[1], over, largest


class Watched:
    """A segment that also gives the rounded inputs of its matrix products."""

    def __init__(self, model: onnx.ModelProto):
        weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        products = [node for node in model.graph.node if node.op_type in ("QAttention", "MatMulInteger")]
        self.products = [(node.input[0], weights[node.input[1]].astype(np.int32)) for node in products]
        self.names = list(dict.fromkeys(name for name, _ in self.products))
        for name in self.names:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.hidden = "hidden" in [out.name for out in self.session.get_outputs()]

    def run(self, feed: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """The feed of the next segment, and inputs and weights of each product."""
        wanted = [*self.names, *(["hidden"] if self.hidden else [])]
        out = dict(zip(wanted, self.session.run(wanted, feed)))
        rounded = {name: out[name].reshape(-1, out[name].shape[-1]).astype(np.int32) for name in self.names}
        return {"hidden_in": out.get("hidden")}, [(rounded[name], weights) for name, weights in self.products]


def count(title: str, folder: pathlib.Path, model: OnnxModel, texts: list[str], eight_bits: bool = False) -> None:
    made = []
    for segment in model.card["segments"]:
        if eight_bits:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            extra = {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT}
            target = folder / f"eight-bits-{segment['file']}"
            quantize_dynamic(folder / segment["file"], target, weight_type=QuantType.QInt8, per_channel=True, extra_options=extra)
            made.append(Watched(onnx.load(target)))
            target.unlink()
        else:
            made.append(Watched(onnx.load(folder / segment["file"])))
    pairs, over, largest = 0, 0, 0
    for text in texts:
        feed = {"ids": np.array([model.windows(text)[0]], dtype=np.int32)}
        for segment in made:
            feed, products = segment.run(feed)
            for inputs, weights in products:
                these, beyond, most = pair_sums(inputs, weights, LIMIT)
                pairs, over, largest = pairs + these, over + beyond, max(largest, most)
    most_weight = max(int(np.abs(weights).max()) for segment in made for _, weights in segment.products)
    print(f"{title}: weights up to {most_weight}; {len(texts)} texts, {pairs:.3g} pairs of products, largest sum {largest} of {LIMIT}, {over} would saturate")


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--val", required=True)
    cli.add_argument("--texts", type=int, default=200)
    cli.add_argument("--model", default=here, type=pathlib.Path)
    cli.add_argument("--float", type=pathlib.Path)
    cli.add_argument("--write", type=pathlib.Path)
    cli.add_argument("--compare", type=pathlib.Path)
    args = cli.parse_args()
    labels, texts, _ = read_tsv(args.val)
    labels, texts = labels[: args.texts], texts[: args.texts]
    model = OnnxModel(args.model)
    if args.write or args.compare:
        logits = model.every_exit(texts)
        if args.write:
            np.save(args.write, logits)
        if args.compare:
            other = np.load(args.compare)[:, : len(texts)]
            same = [int((one == two).sum()) for one, two in zip(logits.argmax(-1), other.argmax(-1))]
            right = [int((one[-1].argmax(-1) == labels).sum()) for one in (logits, other)]
            most = np.abs(logits - other).max()
            print(f"{len(texts)} texts: largest difference of a logit {most:.4f}, same label at each exit {same}, right at the last {right}")
        return
    count("7 bits, as committed", args.model, model, texts)
    if args.float:
        count("8 bits, for comparison", args.float, model, texts, eight_bits=True)


if __name__ == "__main__":
    main()
