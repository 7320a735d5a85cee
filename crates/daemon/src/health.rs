use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// How a component is.
///
/// ```text
///   NotReady <──> Ready <──> Degraded
///       └───────────┬───────────┘
///                   v
///                 Failed        for good: only a restart of the process helps
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    /// Cannot serve yet, or for now.
    NotReady(String),
    /// Serves.
    Ready,
    /// Serves, but something needs attention.
    Degraded(String),
    /// Will not serve again.
    Failed(String),
}

/// The health of all components of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    components: Arc<Mutex<Vec<(String, State)>>>,
}

/// What [`Health`] says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether there is at least one component and all are ready.
    pub ready: bool,
    /// Each component's name and state, in the order in which they were added.
    pub components: Vec<(String, State)>,
}

impl HealthReport {
    /// Whether a restart of the process would not help: no component has failed for good.
    pub fn live(&self) -> bool {
        !self.components.iter().any(|(_, state)| matches!(state, State::Failed(_)))
    }
}

impl Health {
    /// Adds a component, not ready for it is starting. A name that is there already starts over.
    pub fn component(&self, name: &str) -> Component {
        let component = Component { name: name.to_owned(), health: self.clone() };
        component.set(State::NotReady("starting".to_owned()));
        component
    }

    /// How all components are now.
    pub fn report(&self) -> HealthReport {
        self.report_without(&[])
    }

    /// How all components but these are now.
    pub fn report_without(&self, excluded: &[&str]) -> HealthReport {
        let mut components = self.components.lock().clone();
        components.retain(|(name, _)| !excluded.contains(&name.as_str()));
        let ready = !components.is_empty()
            && components.iter().all(|(_, state)| matches!(state, State::Ready | State::Degraded(_)));
        HealthReport { ready, components }
    }

    /// Why a component needs attention though it serves.
    pub fn degraded(&self, name: &str) -> Option<String> {
        self.components.lock().iter().find_map(|(component, state)| match state {
            State::Degraded(why) if component == name => Some(why.clone()),
            _ => None,
        })
    }
}

/// One part of a service, reporting its own state. Clones report the same component.
#[derive(Clone, Debug)]
pub struct Component {
    name: String,
    health: Health,
}

impl Component {
    /// It serves.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It cannot serve for now; `why` is shown by `/readyz`.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(State::NotReady(why.into()));
    }

    /// It serves, but something needs attention; `why` is shown by `/readyz`, which stays a success.
    pub fn degraded(&self, why: impl Into<String>) {
        self.set(State::Degraded(why.into()));
    }

    /// It will not serve again; `/livez` asks for a restart.
    pub fn failed(&self, why: impl Into<String>) {
        self.set(State::Failed(why.into()));
    }

    fn set(&self, state: State) {
        let mut components = self.health.components.lock();
        match components.iter_mut().find(|(name, _)| *name == self.name) {
            Some((_, present)) => *present = state,
            None => components.push((self.name.clone(), state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_components_is_not_ready() {
        assert!(!Health::default().report().ready);
    }

    #[test]
    fn ready_only_when_all_components_are() {
        let health = Health::default();
        let (store, kafka) = (health.component("store"), health.component("kafka"));
        store.ready();
        assert!(!health.report().ready);
        kafka.ready();
        assert!(health.report().ready);
        kafka.degraded("an earlier setting is used");
        assert!(health.report().ready);
        kafka.not_ready("broker gone");
        let report = health.report();
        assert!(!report.ready && report.live());
        assert_eq!(report.components[1], ("kafka".to_owned(), State::NotReady("broker gone".to_owned())));
    }

    #[test]
    fn a_failed_component_asks_for_a_restart() {
        let health = Health::default();
        health.component("task").failed("state is corrupt");
        assert!(!health.report().live());
    }
}
