//! Free ports, below the range from which the kernel takes the ports of outgoing connections.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::{ServerKind, StackError};

const FIRST: u16 = 15_000;
const COUNT: u16 = 16_000;

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Hands out TCP ports, none twice.
///
/// A server binds its port long after the choice, and leaves it free while it is down. So that no other stack of this machine takes it
/// meanwhile, the allocator holds the UDP port of the same number for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct PortAllocator {
    given: BTreeMap<u16, Option<UdpSocket>>,
}

impl PortAllocator {
    /// `wanted`, which must be free; else `remembered` if free; else any free port.
    pub(crate) fn port(
        &mut self,
        server: ServerKind,
        wanted: Option<u16>,
        remembered: Option<u16>,
    ) -> Result<u16, StackError> {
        if let Some(port) = wanted {
            if self.given.contains_key(&port) || !is_free(port) {
                return Err(StackError::PortInUse { server, port });
            }
            self.given.insert(port, claim(port));
            return Ok(port);
        }
        if let Some(port) = remembered {
            if self.take(port) {
                return Ok(port);
            }
            tracing::warn!(%server, port, "port of the last run is taken, choosing another");
        }
        let start = rand::random_range(0..COUNT);
        let candidates = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
        for port in candidates {
            if self.take(port) {
                return Ok(port);
            }
        }
        Err(StackError::PortInUse { server, port: FIRST })
    }

    fn take(&mut self, port: u16) -> bool {
        let claim = claim(port).filter(|_| is_free(port));
        claim.is_some_and(|claim| self.given.insert(port, Some(claim)).is_none())
    }
}

fn claim(port: u16) -> Option<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

/// A random Kafka cluster id: 16 bytes in base64url without padding.
pub(crate) fn random_cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |among: usize| char::from(ALPHABET[rand::random_range(0..among)]);
    let mut id = String::from(letter(62));
    id.extend((0..20).map(|_| letter(64)));
    id.push('A');
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_port_that_is_taken_is_refused_by_name() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = PortAllocator::default().port(ServerKind::Redis, Some(port), None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} of redis is in use")), "{error}");
    }

    #[test]
    fn a_remembered_port_is_kept_while_free_and_never_given_twice() {
        let mut ports = PortAllocator::default();
        let first = ports.port(ServerKind::Redis, None, None).unwrap();
        let second = ports.port(ServerKind::Postgres, None, Some(first)).unwrap();
        assert_ne!(first, second);
        let mut elsewhere = PortAllocator::default();
        assert_ne!(elsewhere.port(ServerKind::Redis, None, Some(first)).unwrap(), first, "another stack has it");
        drop(ports);
        assert_eq!(elsewhere.port(ServerKind::Redis, None, Some(first)).unwrap(), first);
    }

    #[test]
    fn cluster_ids_are_22_letters_and_differ() {
        let (a, b) = (random_cluster_id(), random_cluster_id());
        assert_eq!(a.len(), 22);
        assert_ne!(a, b);
    }
}
