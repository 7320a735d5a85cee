"""Breaks a compose file and a manifest in one place each, and expects deploy_policy to say so.

Usage: deploy_policy_test.py docker-compose.yml RENDERED.yaml
"""

import copy
import sys
import tempfile
from pathlib import Path

import deploy_policy
import yaml


def breaches(check, documents):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(documents, file)
        file.flush()
        return list(check(file.name))


def find(documents, kind, name):
    return next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)


def container(documents, name):
    return find(documents, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]


COMPOSE = {
    "all interfaces": lambda d: d[0]["services"]["api"].update(ports=["8080:8080"]),
    "cap_drop": lambda d: d[0]["services"]["produce"].pop("cap_drop"),
    "no-new-privileges": lambda d: d[0]["services"]["kafka"].pop("security_opt"),
    "written into the file": lambda d: d[0]["services"]["postgres"]["environment"].update(POSTGRES_PASSWORD="hunter2"),
    "no fixed tag": lambda d: d[0]["services"]["redis"].update(image="redis:latest"),
    "does not exist": lambda d: d[0]["services"]["api"]["depends_on"].update(nobody={"condition": "service_healthy"}),
    "has no healthcheck": lambda d: d[0]["services"]["kafka"].pop("healthcheck"),
}
KUBERNETES = {
    "runAsNonRoot": lambda d: find(d, "Deployment", "api")["spec"]["template"]["spec"].pop("securityContext"),
    "service links": lambda d: find(d, "Job", "setup")["spec"]["template"]["spec"].pop("enableServiceLinks"),
    "capabilities are kept": lambda d: container(d, "produce").pop("securityContext"),
    "requests of cpu": lambda d: container(d, "produce").pop("resources"),
    "no readinessProbe": lambda d: container(d, "sink-redis").pop("readinessProbe"),
    "which the container does not have": lambda d: container(d, "sink-redis").pop("ports"),
    "target port": lambda d: find(d, "Service", "api")["spec"]["ports"][0].update(targetPort="web"),
    "selects no pod": lambda d: find(d, "PodDisruptionBudget", "api")["spec"].update(
        selector={"matchLabels": {"app.kubernetes.io/name": "apy"}}
    ),
    "scales nobody": lambda d: find(d, "HorizontalPodAutoscaler", "api")["spec"]["scaleTargetRef"].update(
        name="nobody"
    ),
    "sets replicas": lambda d: find(d, "Deployment", "api")["spec"].update(replicas=1),
    "which does not exist": lambda d: d.remove(next(x for x in d if x["kind"] == "ConfigMap")),
    "no schema for": lambda d: find(d, "Deployment", "api").update(apiVersion="apps/v2"),
    "no NetworkPolicy": lambda d: d.__setitem__(slice(None), [x for x in d if x["kind"] != "NetworkPolicy"]),
}


def main():
    failed = False
    for path, check, breakages in (
        (sys.argv[1], deploy_policy.check_compose, COMPOSE),
        (sys.argv[2], deploy_policy.check_manifests, KUBERNETES),
    ):
        whole = [document for document in yaml.safe_load_all(Path(path).read_text()) if document]
        for expected, break_it in breakages.items():
            broken = copy.deepcopy(whole)
            break_it(broken)
            if not any(expected in breach for breach in breaches(check, broken)):
                print(f"{path}: expected a breach with {expected!r}, found {breaches(check, broken)}")
                failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
