//! Who is connected: how often, and who is kept out for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::http::proxies::Proxies;
use crate::http::rate_limit::Client;

/// Whose connection was cut because of a flood is kept out so long: a connection costs more than what a flood sends on it.
const BAN: Duration = Duration::from_secs(10);

/// Network addresses that are connected or kept out. Trusted proxies are neither counted nor kept out.
#[derive(Clone)]
pub(crate) struct Peers {
    known: Arc<Mutex<HashMap<Client, Peer>>>,
    /// Connections of one of them at once.
    most: usize,
    ban: Duration,
    proxies: Proxies,
}

#[derive(Default)]
struct Peer {
    connections: usize,
    bans: usize,
}

/// A connection that counts, until this is dropped. Of a trusted proxy: none.
pub(super) struct Guest(Option<(Peers, Client)>);

impl Peers {
    pub(crate) fn new(most: usize, proxies: Proxies) -> Self {
        Self { known: Arc::default(), most, ban: BAN, proxies }
    }

    /// `None` if no connection of this address is welcome.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Guest> {
        if self.proxies.any_peer || self.proxies.trust(address.to_canonical()) {
            return Some(Guest(None));
        }
        let client = Client::from_address(address);
        let mut known = self.known.lock();
        let peer = known.entry(client.clone()).or_default();
        if peer.bans > 0 || peer.connections >= self.most {
            return None;
        }
        peer.connections += 1;
        Some(Guest(Some((self.clone(), client))))
    }

    fn change(&self, client: &Client, change: impl FnOnce(&mut Peer)) {
        let mut known = self.known.lock();
        let Some(peer) = known.get_mut(client) else { return };
        change(peer);
        if peer.connections == 0 && peer.bans == 0 {
            known.remove(client);
        }
    }
}

impl Guest {
    /// Keeps the address out from now on.
    pub(super) fn ban(&self) {
        let Some((peers, client)) = self.0.clone() else { return };
        peers.change(&client, |peer| peer.bans += 1);
        tokio::spawn(async move {
            tokio::time::sleep(peers.ban).await;
            peers.change(&client, |peer| peer.bans -= 1);
        });
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some((peers, client)) = &self.0 {
            peers.change(client, |peer| peer.connections -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_so_many_connections_and_none_after_a_flood() {
        let [mine, neighbour, other, proxy] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "10.0.0.1"].map(|address| address.parse().unwrap());
        let networks = vec![Proxies::parse("10.0.0.0/8").unwrap()];
        let peers = Peers { ban: Duration::from_millis(50), ..Peers::new(2, Proxies { networks, any_peer: false }) };
        let first = peers.admit(mine).unwrap();
        let second = peers.admit(neighbour).unwrap();
        assert!(peers.admit(mine).is_none(), "one /64 is one client");
        assert!(peers.admit(other).is_some());
        let of_proxy: Vec<_> = (0..10).map(|_| peers.admit(proxy).unwrap()).collect();
        of_proxy[0].ban();
        assert!(peers.admit(proxy).is_some(), "a proxy is not one client");
        drop(second);
        first.ban();
        drop(first);
        assert!(peers.admit(mine).is_none() && peers.admit(other).is_some());
        drop(of_proxy);
        while peers.admit(mine).is_none() {
            tokio::task::yield_now().await;
        }
        assert!(peers.known.lock().is_empty(), "nothing is kept of who is gone");
    }
}
