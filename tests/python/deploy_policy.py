"""Rules for docker-compose.yml and rendered Kubernetes manifests that their schemas do not know.

Usage: deploy_policy.py docker-compose.yml RENDERED.yaml...    prints each breach, exit code 1 if there is one
"""

import re
import sys
from pathlib import Path

import yaml

SECRET_NAME = re.compile(r"(PASSWORD|TOKEN|SECRET|KEY)$|_URL$")
# Kinds that kubernetes-validate has no schema for; anything else without one is a misspelt kind.
CUSTOM_KINDS = {("keda.sh/v1alpha1", "ScaledObject")}
KNOWN_GROUPS = {"v1", "apps/v1", "batch/v1", "policy/v1", "autoscaling/v2", "networking.k8s.io/v1"}


def check_compose(path):
    compose = yaml.safe_load(Path(path).read_text())
    services = compose["services"]
    for name, service in services.items():
        where = f"{path}: {name}"
        image = service.get("image", "")
        if ":" not in image or image.endswith(":latest"):
            yield f"{where}: image {image!r} has no fixed tag"
        if "ALL" not in service.get("cap_drop", []):
            yield f"{where}: cap_drop lacks ALL"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{where}: security_opt lacks no-new-privileges:true"
        if service.get("privileged"):
            yield f"{where}: privileged"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{where}: port {port} is published on all interfaces, expected 127.0.0.1:"
        for key, value in service.get("environment", {}).items():
            holds_secret = re.search(r"PASSWORD|SECRET|TOKEN|_KEY$", key) or "@" in str(value)
            if holds_secret and "${" not in str(value) and key != "KAFKA_CONTROLLER_QUORUM_VOTERS":
                yield f"{where}: {key} is written into the file, expected ${{NAME:?}}"
        if "command" in service and service.get("build") and not service.get("read_only"):
            yield f"{where}: root file system is writable"
        for dependency, how in service.get("depends_on", {}).items():
            if dependency not in services:
                yield f"{where}: depends on {dependency}, which does not exist"
                continue
            target = services[dependency]
            job = target.get("restart") == "no"
            expected = "service_completed_successfully" if job else "service_healthy"
            if how["condition"] != expected:
                yield f"{where}: waits for {dependency} by {how['condition']}, expected {expected}"
            if not job and "healthcheck" not in target:
                yield f"{where}: waits for the health of {dependency}, which has no healthcheck"


def pod_spec(document):
    kind = document["kind"]
    if kind in ("Deployment", "StatefulSet", "Job"):
        return document["spec"]["template"]
    return None


def check_pod(where, document, names):
    template = pod_spec(document)
    spec = template["spec"]
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot"):
        yield f"{where}: runAsNonRoot is not set"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{where}: seccompProfile is not RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{where}: the service account token is mounted"
    if spec.get("enableServiceLinks") is not False:
        yield f"{where}: service links are on"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{where}: {key}"
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
    for container in spec.get("initContainers", []) + spec["containers"]:
        yield from check_container(f"{where}/{container['name']}", container, document, names, volumes)


def check_container(where, container, document, names, volumes):
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: privilege escalation is allowed"
    if "ALL" not in security.get("capabilities", {}).get("drop", []):
        yield f"{where}: capabilities are kept"
    ours = container["image"].startswith("vigie:")
    if ours and not security.get("readOnlyRootFilesystem"):
        yield f"{where}: root file system is writable"
    if ":" not in container["image"] or container["image"].endswith(":latest"):
        yield f"{where}: image {container['image']!r} has no fixed tag"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield f"{where}: requests of cpu and memory and a limit of memory are expected"
    if document["kind"] != "Job" and "readinessProbe" not in container:
        yield f"{where}: no readinessProbe"
    if document["kind"] == "Deployment" and "livenessProbe" not in container:
        yield f"{where}: no livenessProbe"
    ports = {port.get("name") for port in container.get("ports", [])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        if isinstance(port, str) and port not in ports:
            yield f"{where}: {probe} asks port {port}, which the container does not have"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{where}: mounts {mount['name']}, which the pod does not have"
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        if ("ConfigMap", name) not in names:
            yield f"{where}: takes its environment from ConfigMap {name}, which does not exist"
    for variable in container.get("env", []):
        if SECRET_NAME.search(variable["name"]) and "value" in variable and "@" in variable["value"]:
            yield f"{where}: {variable['name']} is written into the manifest, expected a secretKeyRef"
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        if secret and not secret_is_known(secret, names):
            yield f"{where}: {variable['name']} comes from key {secret['key']} of Secret {secret['name']}, not there"


def secret_is_known(secret, names):
    document = names.get(("Secret", secret["name"]))
    if document is None:
        # Base leaves the Secret to the operator; k8s/README.md says how to make it.
        return secret["name"] == "vigie-secrets"
    return secret["key"] in document.get("data", {})


def labels_match(selector, labels):
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


def check_references(path, documents):
    pods = [
        (document, pod_spec(document)["metadata"]["labels"]) for document in documents if pod_spec(document) is not None
    ]
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        where = f"{path}: {kind}/{name}"
        if document["apiVersion"] not in KNOWN_GROUPS and (document["apiVersion"], kind) not in CUSTOM_KINDS:
            yield f"{where}: no schema for {document['apiVersion']}"
        if kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = document["spec"]["scaleTargetRef"]["name"]
            if not any(d["kind"] == "Deployment" and d["metadata"]["name"] == target for d, _ in pods):
                yield f"{where}: scales {target}, which does not exist"
        selector = {
            "Service": lambda spec: {"matchLabels": spec["selector"]},
            "PodDisruptionBudget": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"],
        }.get(kind)
        if selector is None:
            continue
        chosen = [d for d, labels in pods if labels_match(selector(document["spec"]), labels)]
        if not chosen:
            yield f"{where}: selects no pod"
        if kind == "Service":
            yield from check_service(where, document, chosen)


def check_service(where, service, chosen):
    for port in service["spec"]["ports"]:
        target = port.get("targetPort", port["port"])
        for document in chosen:
            ports = [p for c in pod_spec(document)["spec"]["containers"] for p in c.get("ports", [])]
            if not any(target in (p.get("name"), p["containerPort"]) for p in ports):
                yield f"{where}: target port {target} is none of {document['kind']}/{document['metadata']['name']}"


def check_scaling(path, documents):
    scalers = [
        document["spec"]["scaleTargetRef"]["name"]
        for document in documents
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    ]
    for name in set(scalers):
        if scalers.count(name) > 1:
            yield f"{path}: Deployment/{name} has {scalers.count(name)} autoscalers"
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] == "Deployment" and name in scalers and "replicas" in document["spec"]:
            yield f"{path}: Deployment/{name} is scaled and sets replicas, so an apply resets it"


def check_manifests(path):
    documents = [document for document in yaml.safe_load_all(Path(path).read_text()) if document]
    names = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    isolated = [d["spec"]["podSelector"] for d in documents if d["kind"] == "NetworkPolicy"]
    for document in documents:
        where = f"{Path(path).name}: {document['kind']}/{document['metadata']['name']}"
        template = pod_spec(document)
        if template is None:
            continue
        yield from check_pod(where, document, names)
        labels = template["metadata"]["labels"]
        if not any(labels_match(selector, labels) for selector in isolated):
            yield f"{where}: no NetworkPolicy selects it"
    yield from check_references(Path(path).name, documents)
    yield from check_scaling(Path(path).name, documents)


def main():
    breaches = list(check_compose(sys.argv[1]))
    for path in sys.argv[2:]:
        breaches += check_manifests(path)
    for breach in breaches:
        print(breach)
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
