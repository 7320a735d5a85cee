"""Versions that are written in more than one place agree: Rust, ONNX Runtime, Kafka, the registry.

Usage: pinned_versions.py    prints each disagreement, exit code 1 if there is one
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What is pinned -> (file, pattern with the version as its group). A file may be missing only if it is optional.
PINS = {
    "rust": [
        ("rust-toolchain.toml", r'channel = "([\d.]+)"'),
        ("Dockerfile", r"FROM rust:([\d.]+)-"),
    ],
    "onnxruntime": [
        ("docker/onnxruntime.txt", r"onnxruntime==([\d.]+)"),
    ],
    "kafka": [
        ("crates/stack/kafka-jars.txt", r"/kafka_2\.13-([\d.]+)\.jar"),
        ("docker-compose.yml", r"apache/kafka:([\d.]+)"),
        ("k8s/overlays/local/kafka.yaml", r"apache/kafka:([\d.]+)"),
    ],
    "registry": [
        ("docker-compose.yml", r"apicurio/apicurio-registry:([\d.]+)"),
        ("k8s/overlays/local/registry.yaml", r"apicurio/apicurio-registry:([\d.]+)"),
    ],
    "postgres": [
        ("docker-compose.yml", r"postgres:([\w.-]+)\n"),
        ("k8s/overlays/local/postgres.yaml", r"image: postgres:([\w.-]+)\n"),
    ],
    "redis": [
        ("docker-compose.yml", r"image: redis:([\w.-]+)\n"),
        ("k8s/overlays/local/redis.yaml", r"image: redis:([\w.-]+)\n"),
    ],
}


def main():
    failed = False
    for name, places in PINS.items():
        found = {}
        for file, pattern in places:
            versions = sorted(set(re.findall(pattern, (ROOT / file).read_text())))
            if len(versions) != 1:
                print(f"{name}: {file} names {versions or 'no version'}, expected one")
                failed = True
            found[file] = versions
        if len({tuple(versions) for versions in found.values()}) > 1:
            print(f"{name}: " + ", ".join(f"{file} has {versions}" for file, versions in found.items()))
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
