//! What each service may do in Kafka: written down once, printed for whatever sets it.

pub(super) mod apply;

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use vigie_daemon::{Mistake, ServiceError};
use vigie_processors::{sentiment, trends};
use vigie_schemas::{Service, Topic};
use vigie_sinks::POSTGRES_GROUP;

use crate::output::Output;

/// Which tool is to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Commands of Kafka's kafka-acls.sh.
    KafkaAcls,
    /// KafkaUser resources of Strimzi.
    Strimzi,
}

/// Who uses Kafka besides the services.
const OTHERS: [&str; 3] = ["setup", "operator", "subscriber"];

/// Who uses Kafka, by the names that their principals have unless others are given.
fn users() -> impl Iterator<Item = &'static str> {
    Service::ALL.into_iter().map(Service::deployment).chain(OTHERS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Resource {
    Topic,
    Group,
    TransactionalId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Pattern {
    Literal,
    Prefixed,
}

/// A principal may do these operations on what has this name, or begins so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rule {
    principal: String,
    resource: Resource,
    pattern: Pattern,
    name: String,
    operations: &'static [&'static str],
}

/// Kafka takes the right to describe from that to read or write.
const READ: &[&str] = &["Read"];
const WRITE: &[&str] = &["Write"];
const OWN: &[&str] = &["Read", "Write", "Create", "DescribeConfigs"];
const SET_UP: &[&str] = &["Create", "Describe", "DescribeConfigs"];
const ALL: &[&str] = &["All"];
/// Which librdkafka asks the coordinator of, also where partitions are read without a group.
const READER: &str = "reader";

/// The rules of one service.
struct Principal<'a> {
    prefix: &'a str,
    principal: String,
    rules: Vec<Rule>,
}

impl Principal<'_> {
    fn may(mut self, operations: &'static [&'static str], resource: Resource, pattern: Pattern, name: &str) -> Self {
        let (name, pattern) = match (format!("{}{name}", self.prefix), pattern) {
            // Kafka has no empty name.
            (name, Pattern::Prefixed) if name.is_empty() => ("*".to_owned(), Pattern::Literal),
            other => other,
        };
        self.rules.push(Rule { principal: self.principal.clone(), resource, pattern, name, operations });
        self
    }

    fn topics<T: AsRef<str>>(self, operations: &'static [&'static str], names: impl IntoIterator<Item = T>) -> Self {
        names.into_iter().fold(self, |it, name| it.may(operations, Resource::Topic, Pattern::Literal, name.as_ref()))
    }

    /// Reads topics, by itself or in groups, and puts aside what it cannot read.
    fn reads(self, topics: &[Topic], groups: &[&str]) -> Self {
        let it = self.topics(READ, topics.iter().map(|topic| topic.name()));
        let it = it.topics(WRITE, topics.iter().filter_map(|topic| topic.dead_letter_queue()));
        let groups = groups.iter().chain(&[READER]);
        groups.fold(it, |it, group| it.may(READ, Resource::Group, Pattern::Literal, group))
    }

    fn writes(self, topics: &[Topic], transactional_ids: &[&str]) -> Self {
        let it = self.topics(WRITE, topics.iter().map(|topic| topic.name()));
        let ids = transactional_ids.iter();
        ids.fold(it, |it, id| it.may(WRITE, Resource::TransactionalId, Pattern::Prefixed, id))
    }

    /// Keeps the state of a topology, in topics that begin with its name.
    fn keeps(self, application: &str) -> Self {
        let own = format!("{application}-");
        let it = self.may(OWN, Resource::Topic, Pattern::Prefixed, &own);
        it.may(WRITE, Resource::TransactionalId, Pattern::Prefixed, &own)
    }
}

/// What everybody may do; `principal` names them.
fn rules(prefix: &str, principal: impl Fn(&str) -> String) -> Vec<Rule> {
    use Topic as T;
    let of = |user: &str| {
        let it = Principal { prefix, principal: principal(user), rules: Vec::new() };
        let service = Service::ALL.into_iter().find(|service| service.deployment() == user);
        let it = match (service, user) {
            (Some(Service::Producers), _) => {
                it.reads(&[T::SourcesCursors, T::PostsRaw, T::AuthorsKeys], &[vigie_producers::GROUP]).writes(
                    &[T::PostsRaw, T::SourcesCursors, T::SourcesFetches, T::AuthorsKeys],
                    &["producers-", "backfill-"],
                )
            }
            (Some(Service::Sentiment), _) => it
                .reads(&[T::PostsRaw], &[sentiment::APPLICATION_ID])
                .writes(&[T::InsightsSentiment, T::PostsMentions], &[])
                .keeps(sentiment::APPLICATION_ID),
            (Some(Service::Trends), _) => {
                let applications =
                    [trends::APPLICATION_ID, trends::TERMS_APPLICATION_ID, trends::MARKET_APPLICATION_ID];
                let it = it
                    .reads(&[T::PostsMentions, T::TrendsMarket, T::InsightsSentiment, T::PostsTerms], &applications)
                    .writes(
                        &[T::TrendsMarket, T::PostsTerms, T::InsightsTrends, T::InsightsAlerts, T::InsightsTerms],
                        &[],
                    );
                applications.into_iter().fold(it, Principal::keeps)
            }
            (Some(Service::SinkPostgres), _) => it
                .reads(&vigie_sinks::POSTGRES_TOPICS, &[POSTGRES_GROUP])
                .writes(&[], &["sink-postgres-dlq-"])
                // Dead letters are shown, and explain windows that do not add up.
                .topics(READ, T::ALL.into_iter().filter_map(T::dead_letter_queue)),
            (Some(Service::SinkRedis), _) => {
                it.reads(&vigie_sinks::REDIS_TOPICS, &[Service::SinkRedis.group()]).writes(&[], &["sink-redis-dlq-"])
            }
            (Some(Service::SinkArchive), _) => it
                .topics(READ, vigie_archive::TOPICS.map(T::name))
                .topics(READ, [T::AuthorsKeys.name()])
                .reads(&[], &[]),
            (Some(Service::Api), _) => it.reads(&[T::Audit], &[]).writes(&[T::Audit], &["vigie-audit"]),
            (None, "setup") => it.may(SET_UP, Resource::Topic, Pattern::Prefixed, ""),
            (None, "operator") => [Resource::Topic, Resource::Group, Resource::TransactionalId]
                .into_iter()
                .fold(it, |it, resource| it.may(ALL, resource, Pattern::Prefixed, "")),
            (None, _) => it.reads(&[], &[]).may(READ, Resource::Topic, Pattern::Prefixed, "insights.").may(
                READ,
                Resource::Group,
                Pattern::Prefixed,
                "subscriber-",
            ),
        };
        it.rules
    };
    users().flat_map(of).collect()
}

/// What everybody may do, by the principals of services that are given as `SERVICE=NAME`, and else
/// by their usual names.
///
/// # Errors
/// If one is not so.
pub(super) fn rules_for(prefix: &str, principals: &[String]) -> Result<Vec<Rule>, ServiceError> {
    let mut names: Vec<_> = users().map(|user| (user, format!("vigie-{user}"))).collect();
    for given in principals {
        let named = given.split_once('=').filter(|(_, name)| !name.is_empty());
        let place = |service: &str| names.iter().position(|(known, _)| *known == service);
        let Some((at, name)) = named.and_then(|(service, name)| Some((place(service)?, name))) else {
            let expected = format!("SERVICE=NAME, and SERVICE one of {}", users().collect::<Vec<_>>().join(", "));
            return Err(Mistake::new("--principal", format!("{given:?}"), expected).into());
        };
        name.clone_into(&mut names[at].1);
    }
    let name = |service: &str| {
        names.iter().find(|(known, _)| *known == service).map_or_else(String::new, |(_, name)| name.clone())
    };
    Ok(rules(prefix, name))
}

/// Prints what is to be set.
pub(super) fn print(rules: &[Rule], format: Format, cluster: &str, output: Output) -> Result<(), ServiceError> {
    let mut seen = BTreeSet::new();
    // Services may share one.
    for principal in rules.iter().map(|rule| &rule.principal).filter(|name| seen.insert(*name)) {
        let own: Vec<&Rule> = rules.iter().filter(|rule| rule.principal == *principal).collect();
        output.result(&json!({"principal": principal, "rules": own}), || match format {
            Format::KafkaAcls => kafka_acls(&own),
            Format::Strimzi => strimzi(principal, cluster, &own),
        })?;
    }
    Ok(())
}

impl Resource {
    const fn option(self) -> &'static str {
        match self {
            Self::Topic => "--topic",
            Self::Group => "--group",
            Self::TransactionalId => "--transactional-id",
        }
    }

    const fn strimzi(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactionalId",
        }
    }
}

impl Pattern {
    const fn name(self) -> &'static str {
        match self {
            Self::Literal => "literal",
            Self::Prefixed => "prefix",
        }
    }
}

/// A command for each set of operations: many names go into one.
fn kafka_acls(rules: &[&Rule]) -> String {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| (rule.resource, rule.pattern, rule.operations));
    let same = |a: &&Rule, b: &&Rule| (a.resource, a.pattern, a.operations) == (b.resource, b.pattern, b.operations);
    let command = |rules: &[&Rule]| {
        let Rule { principal, resource, pattern, operations, .. } = rules[0];
        let operations: String = operations.iter().map(|operation| format!(" --operation {operation}")).collect();
        let names: String = rules.iter().map(|rule| format!(" {} {}", resource.option(), quoted(&rule.name))).collect();
        let pattern = if *pattern == Pattern::Prefixed { "prefixed" } else { "literal" };
        format!(
            "kafka-acls.sh --bootstrap-server \"$BROKERS\" --command-config \"$CONFIG\" --add --allow-principal {}{operations}{names} \
             --resource-pattern-type {pattern}",
            quoted(&format!("User:{principal}"))
        )
    };
    rules.chunk_by(same).map(command).collect::<Vec<_>>().join("\n")
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn strimzi(principal: &str, cluster: &str, rules: &[&Rule]) -> String {
    let acl = |rule: &&Rule| {
        let Rule { resource, pattern, name, operations, .. } = rule;
        let (kind, pattern, operations) = (resource.strimzi(), pattern.name(), operations.join(", "));
        format!(
            "      - resource: {{type: {kind}, name: \"{name}\", patternType: {pattern}}}\n        operations: [{operations}]\n"
        )
    };
    let acls: String = rules.iter().map(acl).collect();
    format!(
        "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaUser\nmetadata:\n  name: {principal}\n  labels:\n    \
         strimzi.io/cluster: {cluster}\nspec:\n  authentication:\n    type: scram-sha-512\n  authorization:\n    \
         type: simple\n    acls:\n{acls}---"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefix: &str, service: &str) -> Vec<Rule> {
        rules(prefix, str::to_owned).into_iter().filter(|rule| rule.principal == service).collect()
    }

    /// Whether a service may do something with a topic.
    fn may(service: &str, operation: &str, topic: &str) -> bool {
        of("", service).iter().any(|rule| {
            let named = match rule.pattern {
                Pattern::Literal => rule.name == topic || rule.name == "*",
                Pattern::Prefixed => topic.starts_with(&rule.name),
            };
            rule.resource == Resource::Topic && named && rule.operations.iter().any(|o| [operation, "All"].contains(o))
        })
    }

    #[test]
    fn keys_of_authors_and_the_audit_are_open_to_those_who_need_them_only() {
        let who = |operation, topic| users().filter(|s| may(s, operation, topic)).collect::<Vec<_>>();
        assert_eq!(who("Read", "authors.keys.v1"), ["produce", "sink-postgres", "sink-archive", "operator"]);
        assert_eq!(who("Write", "authors.keys.v1"), ["produce", "operator"]);
        assert_eq!(who("Read", "audit.v1"), ["api", "operator"]);
        assert_eq!(who("Write", "audit.v1"), ["api", "operator"]);
        assert_eq!(who("Delete", "audit.v1"), ["operator"]);
        assert_eq!(who("Write", "insights.alerts.v1"), ["process-trends", "operator"]);
        let readers = ["process-trends", "sink-postgres", "sink-redis", "sink-archive", "operator", "subscriber"];
        assert_eq!(who("Read", "insights.sentiment.v1"), readers);
    }

    #[test]
    fn every_name_has_the_prefix_and_without_one_all_is_a_star() {
        assert!(rules("team-", str::to_owned).iter().all(|rule| rule.name.starts_with("team-")));
        let setup = of("", "setup");
        assert_eq!((setup[0].name.as_str(), setup[0].pattern), ("*", Pattern::Literal));
        assert_eq!(
            (of("team-", "setup")[0].name.as_str(), of("team-", "setup")[0].pattern),
            ("team-", Pattern::Prefixed)
        );
    }

    #[test]
    fn both_forms_say_the_same() {
        let api = of("", "api");
        let own: Vec<&Rule> = api.iter().collect();
        let commands = kafka_acls(&own);
        assert!(commands.lines().all(|line| line.contains("--allow-principal 'User:api' --operation ")), "{commands}");
        for part in [
            "--operation Write --transactional-id 'vigie-audit' --resource-pattern-type prefixed",
            "--operation Read --topic 'audit.v1' --resource-pattern-type literal",
            "--operation Read --group 'reader' --resource-pattern-type literal",
        ] {
            assert!(commands.contains(part), "{part:?} is missing in {commands}");
        }
        let resource = strimzi("api", "ours", &own);
        for part in [
            "strimzi.io/cluster: ours",
            "{type: transactionalId, name: \"vigie-audit\", patternType: prefix}\n        operations: [Write]",
        ] {
            assert!(resource.contains(part), "{part:?} is missing in {resource}");
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
