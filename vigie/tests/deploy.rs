//! docker-compose.yml, k8s/ and the Dockerfile say what the binary understands: subcommands, flags, environment names, ports; and the
//! services of the compose file, run as they are described there, are a working pipeline.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "deploy/manifests.rs"]
mod manifests;
#[path = "deploy/processes.rs"]
mod processes;
#[path = "deploy/rights.rs"]
mod rights;

use std::collections::BTreeSet;

use manifests::{
    Container, all_containers, compose_containers, config_map, env_names, help, image_env, kubernetes_containers, read,
    strings, subcommand, yaml_documents,
};
use vigie_schemas::Service;

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

/// Documents whose commands and environment names must exist.
const DOCUMENTS: [&str; 12] = [
    "README.md",
    "docs/ARCHITECTURE.md",
    "docs/assets.md",
    "docs/authors.md",
    "docs/encryption.md",
    "docs/guarantees.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/security.md",
    "docs/sources.md",
    "docs/usage.md",
    "docs/verify.md",
];

/// Subcommands that are deployed in both places: those of services, but for the archive, which is optional, and jobs.
fn commands() -> impl Iterator<Item = &'static str> {
    let services = Service::ALL.into_iter().filter(|service| *service != Service::SinkArchive);
    services.map(Service::command).chain(JOBS)
}

#[test]
fn every_service_and_job_is_deployed_in_compose_and_kubernetes() {
    let expected: BTreeSet<String> = commands().map(str::to_owned).collect();
    let deployed = |containers: Vec<Container>| -> BTreeSet<String> {
        containers.iter().map(|container| subcommand(&container.args).join(" ")).collect()
    };
    assert_eq!(deployed(compose_containers()), expected, "docker-compose.yml");
    assert_eq!(deployed(kubernetes_containers()), expected, "k8s/base");
    for service in Service::ALL.into_iter().filter(|service| *service != Service::SinkArchive) {
        let name = service.deployment();
        assert!(read(&format!("k8s/base/{name}.yaml")).contains(&format!("name: {name}\n")), "{name}");
        assert!(read("docker-compose.yml").contains(&format!("\n  {name}:\n")), "{name}");
    }
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
fn environment_names_in_the_documents_exist() {
    let mut known = BTreeSet::new();
    let others = ["up", "doctor", "token issue", "tail", "verify", "replay run", "dlq list", "model score"];
    for words in commands().chain(others) {
        let args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        known.extend(env_names(&help(&args).unwrap()));
    }
    // Read by docker compose or by the script `dev`, not by the binary.
    known.extend(env_names(&read(".env.example")));
    known.extend(env_names(&read("dev")));
    for document in DOCUMENTS {
        for name in env_names(&read(document)) {
            assert!(known.contains(&name), "{document}: nothing reads {name}");
        }
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
fn no_replica_of_the_producers_idles() {
    let partitions = i64::from(vigie_schemas::Topic::SourcesCursors.partitions());
    let replicas = yaml_documents("k8s/base/produce.yaml")[0]["spec"]["replicas"].as_i64().unwrap();
    assert!((1..=partitions).contains(&replicas), "{replicas} replicas of produce share {partitions} partitions");
}

#[test]
fn commands_in_the_documents_exist() {
    let mut seen = 0;
    for document in DOCUMENTS.into_iter().chain(["k8s/README.md"]) {
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

#[test]
fn the_example_of_secrets_names_those_that_compose_asks_for() {
    let asked: BTreeSet<String> = read("docker-compose.yml")
        .split("${")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(":?")?.0.to_owned()))
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let example = read(".env.example");
    let lines = example.lines().filter(|line| !line.starts_with('#'));
    let given: BTreeSet<String> = lines.filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    assert!(asked.len() > 2);
    assert_eq!(given, asked);
}
