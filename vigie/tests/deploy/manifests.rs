//! The deployment files, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_norway::Value;

/// A container that runs the binary.
#[derive(Debug)]
pub(crate) struct Container {
    /// File and name, for messages.
    pub(crate) place: String,
    /// Arguments of the binary.
    pub(crate) args: Vec<String>,
    /// What it sets; the value is unknown if it comes from a secret.
    pub(crate) env: BTreeMap<String, Option<String>>,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn yaml_documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = serde_norway::Deserializer::from_str(&text);
    documents
        .map(|document| {
            let mut value: Value =
                serde::Deserialize::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"));
            // A merged mapping may merge another one: once for each level, and this file has two.
            for _ in 0..3 {
                value.apply_merge().unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            value
        })
        .collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The binary's help for a subcommand.
pub(crate) fn help(args: &[String]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_vigie")).args(args).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Names of environment variables in a help text.
pub(crate) fn env_names(help: &str) -> BTreeSet<String> {
    help.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("VIGIE_"))
        .map(str::to_owned)
        .collect()
}

/// The words of a command line before its first flag.
pub(crate) fn subcommand(args: &[String]) -> Vec<String> {
    args.iter().take_while(|arg| !arg.starts_with('-')).cloned().collect()
}

/// What the image sets for every container.
pub(crate) fn image_env() -> BTreeMap<String, Option<String>> {
    let dockerfile = read("Dockerfile").replace("\\\n", " ");
    let settings = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    let pairs = settings.filter_map(|setting| setting.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
        .filter(|(name, _)| name.starts_with("VIGIE_"))
        .collect()
}

pub(crate) fn compose_containers() -> Vec<Container> {
    let documents = yaml_documents("docker-compose.yml");
    let services = documents[0]["services"].as_mapping().unwrap();
    let ours = services.iter().filter(|(_, service)| service.get("build").is_some());
    ours.map(|(name, service)| {
        let mut env = image_env();
        for (key, value) in service.get("environment").and_then(Value::as_mapping).into_iter().flatten() {
            env.insert(key.as_str().unwrap().to_owned(), value.as_str().map(str::to_owned));
        }
        Container {
            place: format!("docker-compose.yml {}", name.as_str().unwrap()),
            args: strings(&service["command"]),
            env,
        }
    })
    .collect()
}

pub(crate) fn config_map() -> BTreeMap<String, Option<String>> {
    let text = read("k8s/base/config.env");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect()
}

pub(crate) fn kubernetes_containers() -> Vec<Container> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("k8s/base")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut containers = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for document in yaml_documents(&format!("k8s/base/{name}")) {
            let pods =
                document.get("spec").and_then(|spec| spec.get("template")).and_then(|template| template.get("spec"));
            for container in
                pods.and_then(|pod| pod.get("containers")).and_then(Value::as_sequence).into_iter().flatten()
            {
                let Some(args) = container.get("args") else { continue };
                let mut env = image_env();
                // Deployments get the config map by pod-defaults.yaml, the containers of the Job name it themselves.
                if document["kind"] == "Deployment" || container.get("envFrom").is_some() {
                    env.extend(config_map());
                }
                for variable in container.get("env").and_then(Value::as_sequence).into_iter().flatten() {
                    let value = variable.get("value").and_then(Value::as_str).map(str::to_owned);
                    env.insert(variable["name"].as_str().unwrap().to_owned(), value);
                }
                let place = format!("k8s/base/{name} {}", container["name"].as_str().unwrap());
                containers.push(Container { place, args: strings(args), env });
            }
        }
    }
    containers
}

pub(crate) fn all_containers() -> Vec<Container> {
    let mut containers = compose_containers();
    containers.extend(kubernetes_containers());
    containers
}
