"""Holds a running API to its description: /openapi.json validates, and schemathesis finds nothing with all its checks.

With ASYNCAPI_SCHEMA, which names schemas/3.0.0.json of the npm package @asyncapi/specs, so does /asyncapi.json.

VIGIE_URL=http://127.0.0.1:8080 VIGIE_TOKEN=... python openapi_check.py [options of schemathesis run]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import requests
import requests.adapters
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import positive_data_acceptance

BASE = os.environ["VIGIE_URL"]
TOKEN = os.environ["VIGIE_TOKEN"]
# What JSON Schema cannot say of two parameters, or of a cursor and its question: all that may be refused beyond it.
RELATIONS = (
    "expected a time before",
    "points, expected",
    "expected the value of next from",
    "or fewer before to",
    "expected a word",
)
# Of an endless answer this much is looked at.
ENOUGH = 64


def read_beginning_of_streams():
    """Lets requests end an answer of server-sent events after its first bytes."""
    send = requests.adapters.HTTPAdapter.send

    def send_and_leave(self, request, **options):
        response = send(self, request, **options)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            response._content = next(response.iter_content(ENOUGH), b"")
            response._content_consumed = True
            response.close()
        return response

    requests.adapters.HTTPAdapter.send = send_and_leave


@schemathesis.check
def accepts_what_it_describes(context, response, case):
    if response.status_code == 400:
        details = [error["detail"] for error in response.json().get("errors", [])]
        if details and all(any(relation in detail for relation in RELATIONS) for detail in details):
            return None
    return positive_data_acceptance(context, response, case)


def main():
    document = requests.get(f"{BASE}/openapi.json", timeout=10).json()
    errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    if schema := os.environ.get("ASYNCAPI_SCHEMA"):
        validator = jsonschema.Draft7Validator(json.loads(pathlib.Path(schema).read_text()))
        errors += validator.iter_errors(requests.get(f"{BASE}/asyncapi.json", timeout=10).json())
    if errors:
        sys.exit("\n".join(f"{'/'.join(map(str, error.path))}: {error.message}" for error in errors))
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{BASE}/openapi.json"),
            *("-H", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
            *("--exclude-checks", "positive_data_acceptance", "--phases", "examples,coverage,fuzzing"),
            *("--seed", "1", "--max-examples", "20", "--continue-on-failure", "--no-shrink"),
            # However busy the machine is.
            *("--request-timeout", "60", "--max-response-time", "60", *sys.argv[1:]),
        ]
        # A value that is too long by far ends at the connection.
        refused = [400, 401, 403, 404, 405, 406, 431]
        config = f"[checks]\nnegative_data_rejection.expected-statuses = {refused}\n"
        pathlib.Path(folder, "schemathesis.toml").write_text(config)
        hooks = {"SCHEMATHESIS_HOOKS": "openapi_check", "PYTHONPATH": str(pathlib.Path(__file__).parent)}
        sys.exit(subprocess.run(command, cwd=folder, env={**os.environ, **hooks}, check=False).returncode)


if __name__ == "__main__":
    main()
else:
    read_beginning_of_streams()
