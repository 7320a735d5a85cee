//! docker-compose.yml, k8s/ and the Dockerfile say what the binary understands: subcommands, flags, environment names, ports.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_norway::Value;

/// A container that runs the binary.
#[derive(Debug)]
struct Container {
    /// File and name, for messages.
    place: String,
    /// Arguments of the binary.
    args: Vec<String>,
    /// What it sets; the value is unknown if it comes from a secret.
    env: BTreeMap<String, Option<String>>,
}

/// Subcommands that run until they are stopped. Each is deployed in both places.
const SERVICES: [&str; 6] = ["produce", "process sentiment", "process trends", "sink postgres", "sink redis", "api"];
/// Subcommands that prepare the servers.
const JOBS: [&str; 3] = ["topics apply", "schemas register", "migrate"];
/// Addresses that a container cannot leave at their default, which is loopback.
const ADDRESSES: [&str; 6] = [
    "VIGIE_KAFKA_BROKERS",
    "VIGIE_SCHEMA_REGISTRY_URL",
    "VIGIE_POSTGRES_URL",
    "VIGIE_REDIS_URL",
    "VIGIE_API_LISTEN",
    "VIGIE_OPS_LISTEN",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml_documents(path: &str) -> Vec<Value> {
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

fn strings(value: &Value) -> Vec<String> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The binary's help for a subcommand.
fn help(args: &[String]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_vigie")).args(args).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Names of environment variables in a help text.
fn env_names(help: &str) -> BTreeSet<String> {
    help.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("VIGIE_"))
        .map(str::to_owned)
        .collect()
}

/// The words of a command line before its first flag.
fn subcommand(args: &[String]) -> Vec<String> {
    args.iter().take_while(|arg| !arg.starts_with('-')).cloned().collect()
}

/// What the image sets for every container.
fn image_env() -> BTreeMap<String, Option<String>> {
    let dockerfile = read("Dockerfile").replace("\\\n", " ");
    let settings = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    let pairs = settings.filter_map(|setting| setting.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
        .filter(|(name, _)| name.starts_with("VIGIE_"))
        .collect()
}

fn compose_containers() -> Vec<Container> {
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

fn config_map() -> BTreeMap<String, Option<String>> {
    let text = read("k8s/base/config.env");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect()
}

fn kubernetes_containers() -> Vec<Container> {
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

fn all_containers() -> Vec<Container> {
    let mut containers = compose_containers();
    containers.extend(kubernetes_containers());
    containers
}

#[test]
fn every_service_and_job_is_deployed_in_compose_and_kubernetes() {
    let expected: BTreeSet<String> = SERVICES.iter().chain(&JOBS).map(|words| (*words).to_owned()).collect();
    let deployed = |containers: Vec<Container>| -> BTreeSet<String> {
        containers.iter().map(|container| subcommand(&container.args).join(" ")).collect()
    };
    assert_eq!(deployed(compose_containers()), expected, "docker-compose.yml");
    assert_eq!(deployed(kubernetes_containers()), expected, "k8s/base");
}

#[test]
fn every_deployed_subcommand_and_flag_exists() {
    for container in all_containers() {
        let help = help(&subcommand(&container.args)).unwrap_or_else(|error| panic!("{}: {error}", container.place));
        for flag in container.args.iter().filter(|arg| arg.starts_with("--")) {
            let name = flag.split('=').next().unwrap();
            let known = help.split(|c: char| c.is_whitespace() || c == '=' || c == ',').any(|word| word == name);
            assert!(known, "{}: {name} is not an option of {:?}", container.place, container.args);
        }
    }
}

#[test]
fn every_deployed_environment_name_exists() {
    let shared: BTreeSet<String> = config_map().into_keys().chain(image_env().into_keys()).collect();
    let mut of_some_service = BTreeSet::new();
    for container in all_containers() {
        let known = env_names(&help(&subcommand(&container.args)).unwrap());
        let own = container.env.keys().filter(|name| name.starts_with("VIGIE_") && !shared.contains(*name));
        for name in own {
            assert!(known.contains(name), "{}: {name} is not read by {:?}", container.place, container.args);
        }
        of_some_service.extend(known);
    }
    for name in shared {
        assert!(of_some_service.contains(&name), "k8s/base/config.env or Dockerfile: no deployed service reads {name}");
    }
}

#[test]
fn no_container_looks_for_a_server_on_its_own_loopback() {
    for container in all_containers() {
        let known = env_names(&help(&subcommand(&container.args)).unwrap());
        for name in ADDRESSES.into_iter().filter(|name| known.contains(*name)) {
            let value = container.env.get(name);
            let value = value.unwrap_or_else(|| panic!("{}: {name} is left at its default", container.place));
            let loopback =
                value.as_deref().is_some_and(|value| value.contains("127.0.0.1") || value.contains("localhost"));
            assert!(!loopback, "{}: {name} is {value:?}", container.place);
        }
    }
}

#[test]
fn published_and_probed_ports_are_those_that_are_listened_on() {
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let api = port(config_map()["VIGIE_API_LISTEN"].as_deref().unwrap());
    let ops = port(config_map()["VIGIE_OPS_LISTEN"].as_deref().unwrap());
    assert_eq!(port(image_env()["VIGIE_OPS_LISTEN"].as_deref().unwrap()), ops, "Dockerfile and k8s/base/config.env");

    let exposed: Vec<String> = read("Dockerfile")
        .lines()
        .filter_map(|line| line.strip_prefix("EXPOSE "))
        .flat_map(|ports| ports.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(exposed, [api.clone(), ops.clone()], "EXPOSE in the Dockerfile");

    let compose = &yaml_documents("docker-compose.yml")[0]["services"]["api"];
    let listen = compose["environment"]["VIGIE_API_LISTEN"].as_str().unwrap();
    assert_eq!(port(&strings(&compose["ports"])[0]), port(listen), "docker-compose.yml api");
    assert_eq!(strings(&compose["healthcheck"]["test"]).last(), Some(&port(listen)), "healthcheck of the api");

    let container_port = |file: &str| {
        let ports = &yaml_documents(file)[0]["spec"]["template"]["spec"]["containers"][0]["ports"][0];
        ports["containerPort"].as_u64().unwrap().to_string()
    };
    assert_eq!(container_port("k8s/base/api.yaml"), api);
    assert_eq!(container_port("k8s/base/pod-defaults.yaml"), ops);
}

#[test]
fn environment_names_in_the_readme_exist() {
    let mut known = BTreeSet::new();
    let others = ["up", "doctor", "token issue", "tail", "replay run", "dlq list", "model score"];
    for words in SERVICES.iter().chain(&JOBS).chain(&others) {
        let args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        known.extend(env_names(&help(&args).unwrap()));
    }
    // Read by docker compose or by the script `dev`, not by the binary.
    known.extend(env_names(&read(".env.example")));
    known.extend(env_names(&read("dev")));
    for name in env_names(&read("README.md")) {
        assert!(known.contains(&name), "README.md: nothing reads {name}");
    }
}

#[test]
fn autoscalers_watch_the_real_group_and_make_no_idle_replicas() {
    let partitions = i64::from(vigie_schemas::Topic::PostsRaw.partitions());
    let scaled = &yaml_documents("k8s/overlays/keda/scaled-objects.yaml")[0]["spec"];
    let trigger = &scaled["triggers"][0]["metadata"];
    assert_eq!(trigger["consumerGroup"].as_str(), Some(vigie_processors::sentiment::APPLICATION_ID));
    assert_eq!(trigger["topic"].as_str(), Some(vigie_schemas::Topic::PostsRaw.name()));
    assert_eq!(scaled["maxReplicaCount"].as_i64(), Some(partitions));
    let autoscaler = yaml_documents("k8s/base/process-sentiment.yaml")
        .into_iter()
        .find(|document| document["kind"] == "HorizontalPodAutoscaler")
        .unwrap();
    assert_eq!(autoscaler["spec"]["maxReplicas"].as_i64(), Some(partitions));
}

#[test]
fn commands_in_the_documents_exist() {
    let mut seen = 0;
    for document in ["README.md", "k8s/README.md", "docs/ARCHITECTURE.md"] {
        let text = read(document);
        // Commands stand on lines of code blocks, perhaps behind a pipe, or between backticks.
        let commands = text.split(['\n', '`', '|']).filter_map(|piece| piece.trim().strip_prefix("vigie "));
        for command in commands {
            let command = command.split('#').next().unwrap_or_default();
            let args: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            // A placeholder or a sentence is no command.
            if args.is_empty() || !args[0].chars().all(|c| c.is_ascii_lowercase()) {
                continue;
            }
            let help = help(&subcommand(&args)).unwrap_or_else(|error| panic!("{document}: vigie {command}: {error}"));
            for flag in args.iter().filter(|arg| arg.starts_with("--")) {
                let known = help.split(|c: char| c.is_whitespace() || c == ',' || c == '=').any(|word| word == flag);
                assert!(known, "{document}: vigie {command}: {flag} is not an option");
            }
            seen += 1;
        }
    }
    assert!(seen > 8, "found only {seen} commands");
}
