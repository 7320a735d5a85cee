use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::rate_limit::Client;

/// Places of which each client may hold a limited number.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) most: usize,
    held: Arc<Mutex<HashMap<Client, usize>>>,
}

/// Held until dropped.
pub(crate) struct Place {
    client: Client,
    places: Places,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// `None` if the client holds all it may.
    pub(crate) fn take(&self, client: Client) -> Option<Place> {
        let mut held = self.held.lock();
        let count = held.entry(client.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { client, places: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held.lock();
        let Some(count) = held.get_mut(&self.client) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(&self.client);
        }
    }
}
