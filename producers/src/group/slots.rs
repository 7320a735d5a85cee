//! The sources that this replica owns, and which of them is due next: every step is logarithmic in their number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use tokio::task::AbortHandle;
use vigie_clock::Timestamp;
use vigie_schemas::Cursor;

use crate::group::plan::{Plan, Planned};
use crate::sources::SourceConfig;

/// The state of one source.
pub(crate) struct Slot {
    pub(crate) source: Arc<SourceConfig>,
    pub(crate) cursor: Arc<Cursor>,
    pub(crate) partition: i32,
    /// When it is due; `None` while it is polled, or what the poll brought is published.
    due: Option<Timestamp>,
    /// The poll under way, or just ended.
    poll: Option<AbortHandle>,
    /// Goes once its poll is published.
    retired: bool,
}

/// What became of a changed list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) changed: usize,
    pub(crate) removed: usize,
}

/// Slots by a serial number that is never used again, so that what comes late for a source that has gone is not taken for what is awaited.
#[derive(Default)]
pub(crate) struct Slots {
    slots: HashMap<u64, Slot>,
    serials: HashMap<String, u64>,
    /// Entries whose time is not their slot's are stale.
    due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    next: u64,
    failing: usize,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sources whose last poll failed.
    pub(crate) fn failing(&self) -> usize {
        self.failing
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.serials.contains_key(id)
    }

    pub(crate) fn insert(&mut self, planned: &Planned, cursor: Cursor) {
        let serial = self.next;
        self.next += 1;
        self.failing += usize::from(cursor.failures > 0);
        self.serials.insert(planned.source.id.clone(), serial);
        let at = cursor.next_at;
        let (source, cursor, partition) = (Arc::clone(&planned.source), Arc::new(cursor), planned.partition);
        self.slots.insert(serial, Slot { source, cursor, partition, due: None, poll: None, retired: false });
        self.schedule(serial, at);
    }

    /// When the next source is due.
    pub(crate) fn next_due(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((at, serial))) = self.due.peek().copied() {
            if self.slots.get(&serial).is_some_and(|slot| slot.due == Some(at)) {
                return Some(at);
            }
            self.due.pop();
        }
        None
    }

    /// Takes the source that is due first; the caller polls it.
    pub(crate) fn take_due(&mut self) -> Option<(u64, &mut Slot)> {
        self.next_due()?;
        let Reverse((_, serial)) = self.due.pop()?;
        let slot = self.slots.get_mut(&serial)?;
        slot.due = None;
        Some((serial, slot))
    }

    /// A poll is published: the source stands there now and is due again. Gives back where it stood.
    pub(crate) fn commit(&mut self, serial: u64, cursor: Cursor) -> Option<Arc<Cursor>> {
        let slot = self.slots.get_mut(&serial)?;
        self.failing = self.failing + usize::from(cursor.failures > 0) - usize::from(slot.cursor.failures > 0);
        slot.poll = None;
        let (at, is_retired) = (cursor.next_at, slot.retired);
        let before = std::mem::replace(&mut slot.cursor, Arc::new(cursor));
        if is_retired {
            self.remove(serial);
        } else {
            self.schedule(serial, at);
        }
        Some(before)
    }

    /// A poll ended without a result.
    pub(crate) fn again_at(&mut self, task: tokio::task::Id, at: Timestamp) -> Option<&SourceConfig> {
        let is_its = |slot: &Slot| slot.poll.as_ref().is_some_and(|poll| poll.id() == task);
        let serial = self.slots.iter().find(|(_, slot)| is_its(slot)).map(|(serial, _)| *serial)?;
        self.schedule(serial, at);
        Some(&self.slots.get(&serial)?.source)
    }

    /// Drops every source of the partitions for which `goes` says so, and the polls that are under way.
    pub(crate) fn drop_partitions(&mut self, goes: impl Fn(i32) -> bool) {
        let leaving: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| goes(slot.partition)).map(|(serial, _)| *serial).collect();
        for serial in leaving {
            self.remove(serial);
        }
        let slots = &self.slots;
        self.due.retain(|Reverse((_, serial))| slots.contains_key(serial));
    }

    /// Holds the sources against a new list. One that is not in it any more, or belongs to another partition now, goes, after its poll
    /// if one is under way. One that is there in another form keeps its place and is asked in the new form next.
    pub(crate) fn apply(&mut self, plan: &Plan, now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let (mut gone, mut sooner) = (Vec::new(), Vec::new());
        for (serial, slot) in &mut self.slots {
            match plan.get(&slot.source.id) {
                Some(planned) if planned.partition == slot.partition => {
                    slot.retired = false;
                    if planned.source == slot.source {
                        continue;
                    }
                    slot.source = Arc::clone(&planned.source);
                    applied.changed += 1;
                    // What the server asked for after a failure still holds.
                    let at = now.saturating_add(slot.source.every);
                    if slot.cursor.failures == 0 && slot.due.is_some_and(|due| due > at) {
                        sooner.push((*serial, at));
                    }
                }
                _ => {
                    applied.removed += usize::from(!slot.retired);
                    slot.retired = true;
                    if slot.due.is_some() {
                        gone.push(*serial);
                    }
                }
            }
        }
        for serial in gone {
            self.remove(serial);
        }
        for (serial, at) in sooner {
            self.schedule(serial, at);
        }
        applied
    }

    fn schedule(&mut self, serial: u64, at: Timestamp) {
        if let Some(slot) = self.slots.get_mut(&serial) {
            slot.due = Some(at);
            self.due.push(Reverse((at, serial)));
        }
    }

    fn remove(&mut self, serial: u64) {
        let Some(slot) = self.slots.remove(&serial) else { return };
        self.serials.remove(&slot.source.id);
        self.failing -= usize::from(slot.cursor.failures > 0);
        if let Some(poll) = slot.poll {
            poll.abort();
        }
    }
}

impl Slot {
    pub(crate) fn polled_by(&mut self, task: AbortHandle) {
        self.poll = Some(task);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poll::fresh_cursor;
    use crate::{Kind, SourceConfig};

    fn source(id: &str, host: &str, every: u64) -> SourceConfig {
        let url = format!("https://{host}/{id}").parse().unwrap();
        SourceConfig { every: Duration::from_secs(every), ..SourceConfig::new(id, Kind::Rss, url) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// All of `sources`, due at once.
    fn slots(sources: &[SourceConfig]) -> Slots {
        let (plan, mut slots) = (Plan::new(sources.to_vec(), 1), Slots::default());
        for source in sources {
            slots.insert(plan.get(&source.id).unwrap(), fresh_cursor(source));
        }
        slots
    }

    fn cursor(source: &SourceConfig, next_at: Timestamp) -> Cursor {
        Cursor { next_at, ..fresh_cursor(source) }
    }

    #[test]
    fn sources_come_in_the_order_in_which_they_are_due_and_not_while_they_are_polled() {
        let (a, b) = (source("a", "a.example", 60), source("b", "b.example", 60));
        let mut slots = slots(&[a.clone(), b.clone()]);
        let (first, _) = slots.take_due().unwrap();
        let (second, _) = slots.take_due().unwrap();
        assert!(slots.take_due().is_none() && slots.next_due().is_none());
        slots.commit(first, cursor(&a, at(20)));
        slots.commit(second, cursor(&b, at(10)));
        assert_eq!(slots.next_due(), Some(at(10)));
        assert_eq!(slots.take_due().unwrap().0, second);
        assert_eq!(slots.next_due(), Some(at(20)));
    }

    #[test]
    fn a_new_list_leaves_what_did_not_change_alone() {
        let (a, b, c) = (source("a", "a.example", 60), source("b", "b.example", 600), source("c", "c.example", 60));
        let mut slots = slots(&[a.clone(), b.clone(), c.clone()]);
        for _ in 0..3 {
            let (serial, slot) = slots.take_due().unwrap();
            let cursor = cursor(&Arc::clone(&slot.source), at(500));
            slots.commit(serial, cursor);
        }
        let quicker = SourceConfig { every: Duration::from_secs(60), ..b };
        let list = Plan::new(vec![a, quicker.clone(), source("d", "d.example", 60)], 1);
        assert_eq!(slots.apply(&list, at(100)), Applied { changed: 1, removed: 1 });
        assert_eq!((slots.len(), slots.contains("c"), slots.contains("d")), (2, false, false));
        assert_eq!(slots.next_due(), Some(at(160)), "the new interval counts from now");
        assert_eq!(*slots.take_due().unwrap().1.source, quicker);
        assert_eq!(slots.next_due(), Some(at(500)));
        assert_eq!(slots.apply(&list, at(100)), Applied::default());
    }

    #[test]
    fn a_source_that_is_polled_goes_only_after_its_poll_is_published() {
        let a = source("a", "a.example", 60);
        let mut slots = slots(std::slice::from_ref(&a));
        let (serial, _) = slots.take_due().unwrap();
        let without = Plan::new(vec![source("b", "b.example", 60)], 1);
        assert_eq!(slots.apply(&without, at(1)), Applied { changed: 0, removed: 1 });
        assert_eq!(slots.apply(&without, at(2)), Applied::default());
        assert!(slots.contains("a"));
        assert!(slots.commit(serial, cursor(&a, at(9))).is_some());
        assert!(!slots.contains("a") && slots.commit(serial, cursor(&a, at(9))).is_none());
        assert_eq!(slots.next_due(), None);
    }
}
