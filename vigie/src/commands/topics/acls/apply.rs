//! Gives the services their rights in Kafka: adds what is missing, reports what is there beside it.

use std::collections::BTreeSet;

use serde::Serialize;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Acl, AclOperation, AclPattern, AclResource, Admin};

use super::{Pattern, Resource, Rule};
use crate::commands::topics::kafka_error;

/// What became of a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It was missing and has been given.
    Created,
    /// It is missing.
    Missing,
    /// No service of that principal needs it.
    Superfluous,
    /// Nobody needed it, and it has been taken away.
    Removed,
    /// It is denied, which goes before any right.
    Denied,
}

/// A right that is not as it should be, or was not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AclChange {
    principal: String,
    resource: String,
    pattern: String,
    name: String,
    operation: String,
    host: String,
    action: Action,
}

impl AclChange {
    fn new(acl: &Acl, action: Action) -> Self {
        let Acl { principal, resource, pattern, name, operation, host, .. } = acl.clone();
        let [resource, pattern, operation] =
            [format!("{resource:?}"), format!("{pattern:?}"), format!("{operation:?}")];
        Self { principal, resource, pattern, name, operation, host, action }
    }

    /// As a line of text.
    pub(crate) fn line(&self) -> String {
        let Self { principal, resource, pattern, name, operation, host, action } = self;
        let action = format!("{action:?}").to_lowercase();
        let from = if host == "*" { String::new() } else { format!(" from {host}") };
        format!("{action:<12} {principal:<28} {operation} {resource} {name} ({}){from}", pattern.to_lowercase())
    }
}

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    unchanged: usize,
    missing: Vec<Acl>,
    superfluous: Vec<Acl>,
    denied: Vec<Acl>,
}

/// Gives the principals of `rules` what they need under `prefix`. Takes what they have beside it
/// away if `prune`, and changes nothing if `dry_run`. Returns what was not as it should be, and how
/// many rights were.
///
/// # Errors
/// If the broker refuses.
pub(crate) fn apply(
    admin: &Admin,
    prefix: &str,
    rules: &[Rule],
    prune: bool,
    dry_run: bool,
) -> Result<(Vec<AclChange>, usize), ServiceError> {
    let found = admin.acls().map_err(kafka_error)?;
    let Difference { unchanged, missing, superfluous, denied } = compare(&wanted(rules), &found, prefix);
    let mut changes = Vec::new();
    let mut note = |acls: &[Acl], action| changes.extend(acls.iter().map(|acl| AclChange::new(acl, action)));
    if !dry_run {
        admin.create_acls(&missing).map_err(kafka_error)?;
    }
    note(&missing, if dry_run { Action::Missing } else { Action::Created });
    let (known, unknown): (Vec<Acl>, Vec<Acl>) = superfluous.into_iter().partition(is_known);
    if prune && !dry_run {
        admin.delete_acls(&known).map_err(kafka_error)?;
    }
    note(&known, if prune && !dry_run { Action::Removed } else { Action::Superfluous });
    note(&unknown, Action::Superfluous);
    note(&denied, Action::Denied);
    Ok((changes, unchanged))
}

fn wanted(rules: &[Rule]) -> BTreeSet<Acl> {
    let of = |rule: &Rule| {
        let resource = match rule.resource {
            Resource::Topic => AclResource::Topic,
            Resource::Group => AclResource::Group,
            Resource::TransactionalId => AclResource::TransactionalId,
        };
        let pattern = match rule.pattern {
            Pattern::Literal => AclPattern::Literal,
            Pattern::Prefixed => AclPattern::Prefixed,
        };
        let (principal, name) = (format!("User:{}", rule.principal), rule.name.clone());
        let acl = move |operation: &&str| Acl {
            principal: principal.clone(),
            resource,
            pattern,
            name: name.clone(),
            operation: operation_of(operation),
            host: "*".to_owned(),
            allowed: true,
        };
        rule.operations.iter().map(acl).collect::<Vec<_>>()
    };
    rules.iter().flat_map(of).collect()
}

fn operation_of(name: &str) -> AclOperation {
    match name {
        "All" => AclOperation::All,
        "Read" => AclOperation::Read,
        "Write" => AclOperation::Write,
        "Create" => AclOperation::Create,
        "Describe" => AclOperation::Describe,
        "DescribeConfigs" => AclOperation::DescribeConfigs,
        _ => AclOperation::Other,
    }
}

/// Whether it can be named to a broker.
fn is_known(acl: &Acl) -> bool {
    acl.resource != AclResource::Other && acl.pattern != AclPattern::Other && acl.operation != AclOperation::Other
}

fn compare(wanted: &BTreeSet<Acl>, found: &[Acl], prefix: &str) -> Difference {
    let principals: BTreeSet<&str> = wanted.iter().map(|acl| acl.principal.as_str()).collect();
    let missing = wanted.iter().filter(|acl| !found.contains(acl)).cloned().collect();
    let mut difference = Difference { missing, ..Difference::default() };
    for acl in found.iter().filter(|acl| principals.contains(acl.principal.as_str()) && concerns(acl, prefix)) {
        if wanted.contains(acl) {
            difference.unchanged += 1;
        } else if acl.allowed {
            difference.superfluous.push(acl.clone());
        } else {
            difference.denied.push(acl.clone());
        }
    }
    difference
}

/// Whether it is about something under the prefix, or more than that. Brokers before 2.8 want
/// `IdempotentWrite` of the cluster.
fn concerns(acl: &Acl, prefix: &str) -> bool {
    match (acl.resource, acl.pattern) {
        (AclResource::Cluster, _) => acl.operation != AclOperation::IdempotentWrite,
        (_, AclPattern::Literal) => acl.name == "*" || acl.name.starts_with(prefix),
        _ => acl.name.starts_with(prefix) || prefix.starts_with(&acl.name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    #[test]
    fn what_is_missing_is_told_from_what_is_superfluous_denied_or_another_pipelines() {
        let wanted = wanted(&rules("team-", |service| format!("vigie-{service}")));
        assert!(wanted.iter().all(is_known));
        let all: Vec<Acl> = wanted.iter().cloned().collect();
        let none = compare(&wanted, &[], "team-");
        assert_eq!((none.missing.len(), none.unchanged), (all.len(), 0));
        let same = compare(&wanted, &all, "team-");
        assert_eq!(same, Difference { unchanged: all.len(), ..Difference::default() });

        let acl = |change: &dyn Fn(&mut Acl)| {
            let mut acl = all[0].clone();
            change(&mut acl);
            acl
        };
        let superfluous = [
            acl(&|acl| acl.operation = AclOperation::Delete),
            acl(&|acl| acl.host = "10.0.0.1".to_owned()),
            acl(&|acl| (acl.name, acl.pattern) = ("*".to_owned(), AclPattern::Literal)),
            acl(&|acl| (acl.name, acl.pattern) = ("te".to_owned(), AclPattern::Prefixed)),
            acl(&|acl| (acl.resource, acl.name) = (AclResource::Cluster, "kafka-cluster".to_owned())),
        ];
        let denied = [acl(&|acl| acl.allowed = false)];
        let others = [
            acl(&|acl| acl.principal = "User:somebody".to_owned()),
            acl(&|acl| (acl.name, acl.pattern) = ("other-posts".to_owned(), AclPattern::Literal)),
            acl(&|acl| (acl.resource, acl.operation) = (AclResource::Cluster, AclOperation::IdempotentWrite)),
        ];
        let found = [&all[1..], &superfluous, &denied, &others].concat();
        let difference = compare(&wanted, &found, "team-");
        assert_eq!((difference.missing, difference.unchanged), (vec![all[0].clone()], all.len() - 1));
        assert_eq!((difference.superfluous, difference.denied), (superfluous.to_vec(), denied.to_vec()));
    }
}
