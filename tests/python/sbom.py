"""Writes what `vigie` is built from as a CycloneDX 1.6 document: every crate that is compiled into it or runs while it
is built, the foreign code in them, ONNX Runtime, and the models.

    python sbom.py [--target TRIPLE] [--validate] [--out FILE]

The same sources give the same bytes: no time, and a serial number from the content. ``--validate`` checks the document
against the schema (needs cyclonedx-python-lib). Run by ``./dev sbom``.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
ONNXRUNTIME = "docker/onnxruntime.txt"


def metadata(target: str | None) -> dict:
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    if target:
        command.append(f"--filter-platform={target}")
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def reachable(nodes: dict[str, dict], root: str) -> dict[str, list[str]]:
    """What each package needs to be compiled; tests need more."""
    edges: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        package = waiting.pop()
        if package in edges:
            continue
        needed = [d for d in nodes[package]["deps"] if any(kind["kind"] in (None, "build") for kind in d["dep_kinds"])]
        edges[package] = sorted({dependency["pkg"] for dependency in needed})
        waiting.extend(edges[package])
    return edges


def crate(package: dict, checksums: dict[tuple[str, str], str]) -> dict:
    name, version = package["name"], package["version"]
    component = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version.replace('+', '%2B')}",
        "name": name,
        "version": version,
    }
    component["purl"] = component["bom-ref"]
    if license := package["license"]:
        component["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", license)}]
    if checksum := checksums.get((name, version)):
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if repository := package["repository"]:
        component["externalReferences"] = [{"type": "vcs", "url": repository}]
    properties = {}
    if any("proc-macro" in target["kind"] for target in package["targets"]):
        properties["vigie:part"] = "runs during the build"
    if package["links"]:
        properties["vigie:links"] = package["links"]
    if properties:
        component["properties"] = [{"name": name, "value": value} for name, value in sorted(properties.items())]
    return component


def bundled(package: dict) -> dict | None:
    """The C library that a crate brings along, where its version says which."""
    found = re.fullmatch(r"[^+]+\+(?:[a-z]+\.)?(\d[\w.]*)", package["version"])
    if not (found and package["links"]):
        return None
    name = {"rdkafka": "librdkafka"}.get(package["links"], package["links"])
    purl = f"pkg:generic/{name}@{found[1]}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": found[1], "purl": purl}


def onnxruntime() -> dict:
    text = (ROOT / ONNXRUNTIME).read_text(encoding="utf-8")
    version = re.search(r"onnxruntime==([\w.]+)", text)[1]
    purl = f"pkg:pypi/onnxruntime@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": "onnxruntime",
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"id": "MIT"}}],
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in re.findall(r"sha256:([0-9a-f]{64})", text)],
    }


def model(manifest: pathlib.Path) -> dict:
    said = json.loads(manifest.read_text(encoding="utf-8"))
    networks = sorted(file for ending in ("onnx", "bin", "words") for file in manifest.parent.glob(f"*.{ending}"))
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{said['name']}",
        "name": said["name"],
        "version": str(said["version"]),
        "components": [
            {
                "type": "file",
                "bom-ref": f"file:{file.relative_to(ROOT)}",
                "name": str(file.relative_to(ROOT)),
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
            }
            for file in networks
        ],
    }


def document(target: str | None) -> dict:
    known = metadata(target)
    packages = {package["id"]: package for package in known["packages"]}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    root = next(id for id, package in packages.items() if package["name"] == "vigie")
    edges = reachable(nodes, root)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in locked}
    crates = {id: crate(packages[id], checksums) for id in edges}
    depends = {crates[id]["bom-ref"]: [crates[other]["bom-ref"] for other in others] for id, others in edges.items()}
    main = crates.pop(root) | {"type": "application"}
    foreign = {crates[id]["bom-ref"]: bundled(packages[id]) for id in crates}
    others = [found for found in foreign.values() if found] + [onnxruntime()]
    others += [model(ROOT / path) for path in ("models/sentiment/model.json", "models/trend/forecast/model.json")]
    for by, found in foreign.items():
        if found:
            depends[by].append(found["bom-ref"])
    depends[main["bom-ref"]] += [component["bom-ref"] for component in others if component not in foreign.values()]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": sorted([*crates.values(), *others], key=lambda component: component["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(depends.items())],
    }
    content = json.dumps(document, sort_keys=True)
    return document | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"}


def mistakes(text: str) -> str | None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="of this platform only, as x86_64-unknown-linux-gnu; without, of all")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    text = json.dumps(document(args.target), indent=1) + "\n"
    if args.validate and (found := mistakes(text)):
        raise SystemExit(f"not as CycloneDX 1.6 has it: {found}")
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
