//! Turns of the questions that may take the database seconds. Half of the connections are left to quick questions, and a client has one turn
//! at a time, so that no one client's questions keep those of others waiting.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::http::rate_limit::Client;

const OPEN: &str = "nobody closes it";

/// A number of turns for all clients together, one for each.
pub(crate) struct Turns {
    all: Semaphore,
    lines: Mutex<HashMap<Client, Arc<Semaphore>>>,
}

/// Held until dropped, in this order.
pub(crate) struct Turn<'a> {
    _all: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
    _place: Place<'a>,
}

/// A place in the line of a client, which goes with the last one.
struct Place<'a> {
    turns: &'a Turns,
    client: Client,
}

impl Turns {
    pub(crate) fn new(most: usize) -> Self {
        Self { all: Semaphore::new(most), lines: Mutex::default() }
    }

    /// Waits for it.
    pub(crate) async fn take(&self, client: &Client) -> Turn<'_> {
        let place = Place { turns: self, client: client.clone() };
        let line = self.lines.lock().entry(client.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        let own = line.acquire_owned().await.expect(OPEN);
        Turn { _all: self.all.acquire().await.expect(OPEN), _own: own, _place: place }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lines.lock();
        if lines.get(&self.client).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_client_has_one_turn_and_waits_for_no_other_while_there_are_some() {
        let turns = Turns::new(2);
        let client = |name: &str| Client::Subject(name.to_owned());
        let (greedy, other, third) = (client("greedy"), client("other"), client("third"));
        let first = turns.take(&greedy).now_or_never().unwrap();
        {
            let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(turns.take(&greedy))).collect();
            assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
            let turn = turns.take(&other).now_or_never().expect("who waits takes no turn of others");
            assert!(turns.take(&third).now_or_never().is_none(), "there are two");
            drop(turn);
            assert!(turns.take(&third).now_or_never().is_some());
            drop(first);
            let _second = waiting[0].as_mut().now_or_never().expect("the first in line");
        }
        assert!(turns.lines.lock().is_empty(), "whoever is gone is forgotten");
    }
}
