use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whose word about a client's address counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) networks: Vec<IpNet>,
    /// Whoever speaks to us is a proxy, the only one.
    pub(crate) any_peer: bool,
}

impl Proxies {
    /// `network` is an address or a CIDR block.
    pub(crate) fn parse(network: &str) -> Option<IpNet> {
        network.parse().ok().or_else(|| network.parse::<IpAddr>().ok().map(IpNet::from))
    }

    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The last address of the way here that is no trusted proxy: each one names who spoke to it, at the end of `X-Forwarded-For`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let mut is_proxy = self.any_peer || self.trust(client);
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while is_proxy && let Some(hop) = hops.next().and_then(address) {
            client = hop;
            is_proxy = self.trust(client);
        }
        client
    }
}

/// Some proxies add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &Proxies, peer: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| (FORWARDED_FOR.parse().unwrap(), line.parse().unwrap()));
        proxies.client(peer.parse().unwrap(), &HeaderMap::from_iter(lines)).to_string()
    }

    #[test]
    fn only_trusted_proxies_name_a_client_and_it_is_the_last_that_is_none() {
        let networks = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"].iter().map(|text| Proxies::parse(text).unwrap());
        let proxies = Proxies { networks: networks.collect(), any_peer: false };
        for (peer, lines, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.1.2.3", &["198.51.100.1, 203.0.113.9, fd00::1, 192.0.2.7:4711"], "203.0.113.9"),
            ("10.1.2.3", &["10.9.9.9, 203.0.113.9", "10.3.3.3"], "203.0.113.9"),
            ("10.1.2.3", &["203.0.113.9, unknown"], "10.1.2.3"),
            ("fd00::2", &["[2001:db8::5]:80"], "2001:db8::5"),
            ("10.1.2.3", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ] {
            assert_eq!(client(&proxies, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn nobody_is_trusted_by_default_and_with_one_proxy_its_last_word_counts() {
        assert_eq!(client(&Proxies::default(), "127.0.0.1", &["203.0.113.9"]), "127.0.0.1");
        let one = Proxies { any_peer: true, ..Proxies::default() };
        assert_eq!(client(&one, "203.0.113.1", &["198.51.100.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&one, "203.0.113.1", &["198.51.100.1, 203.0.113.1"]), "203.0.113.1");
    }
}
