"""Write a trained forecaster: model.onnx, model.json with its SHA-256, and golden.json, which the Rust side must reproduce."""

import hashlib
import json
import pathlib

import numpy as np
import onnxruntime

import features

QUANTILES = (0.1, 0.5, 0.9)


def write(model, path: pathlib.Path) -> None:
    """`features` [rows, 50] in, `answer` [rows, 7] out."""
    import torch

    sample = torch.zeros(3, features.COUNT)
    rows = torch.export.Dim("rows", min=2, max=1 << 20)
    program = torch.onnx.export(
        model, (sample,), input_names=["features"], output_names=["answer"], dynamic_shapes=({0: rows},), opset_version=18, dynamo=True, verbose=False
    )
    program.save(str(path), external_data=False)
    bare(path)


def bare(path: pathlib.Path) -> None:
    """Takes out what the exporter notes of the machine it ran on: stack traces with paths."""
    import onnx

    proto = onnx.load(path)
    for part in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        part.doc_string = ""
        del part.metadata_props[:]
    del proto.graph.value_info[:]
    onnx.save(proto, path)


def session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def forecast(runtime, rows, levels):
    """Counts [rows, 3] of the next window and of the next hour, and the probability of a doubling."""
    padded = rows if len(rows) > 1 else np.repeat(rows, 2, axis=0)
    answer = runtime.run(["answer"], {"features": padded.astype(np.float32)})[0][: len(rows)].astype(float)
    found = []
    for at, windows in ((0, 1), (3, 12)):
        base = (levels * windows + 0.5)[:, None]
        found.append(np.sort(np.maximum(base * np.exp(np.clip(answer[:, at : at + 3], -12, 12)) - 0.5, 0), axis=1))
    return found[0], found[1], 1 / (1 + np.exp(-answer[:, 6]))


def describe(model, folder: pathlib.Path, version: str, real: dict) -> None:
    content = (folder / "model.onnx").read_bytes()
    manifest = {
        "name": "attention-forecaster",
        "version": version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "features": features.COUNT,
        "window_seconds": 300,
        "quantiles": list(QUANTILES),
        "licence": "MIT OR Apache-2.0",
        "trained_on": sorted(real),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    (folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (folder / "golden.json").write_text(golden(session(folder / "model.onnx")))


def golden(runtime) -> str:
    """A made-up series of eight days that begins within an hour of the clock, and what is said of it at some of its windows."""
    rng = np.random.default_rng(11)
    n, index0 = 8 * 288 + 7, 5_500_003
    day = 3 + 2.5 * np.sin(np.arange(n) / 288 * 2 * np.pi)
    x = rng.poisson(day * rng.gamma(2.0, 0.5, n)).astype(float)
    x[1500:1512] += 60
    x[40:70] = 0
    authors = np.where(rng.random(n) < 0.9, np.ceil(x * 0.8), -1)
    scored = np.minimum(x, rng.integers(0, 6, n)).astype(float)
    scores = np.round(scored * rng.uniform(-1, 1, n), 6)
    origins = np.array([11, 12, 30, 60, 143, 288, 400, 700, 1505, 1512, 2025, 2026, n - 1])
    rows, levels, _ = features.table(x, authors, scores, scored, np.zeros(len(origins), int), origins, index0, features.COUNT)
    window, hour, doubling = forecast(runtime, rows, levels)
    said = [
        {"at": int(t), "level": level, "features": [float(v) for v in row], "next_window": list(w), "next_hour": list(h), "doubling": float(d)}
        for t, level, row, w, h, d in zip(origins, levels, rows, window, hour, doubling)
    ]
    plain = lambda values: [int(v) for v in values]
    series = {"first_window": index0, "posts": plain(x), "authors": plain(authors), "scores": scores.tolist(), "scored": plain(scored)}
    return json.dumps({"series": series, "forecasts": said}) + "\n"
