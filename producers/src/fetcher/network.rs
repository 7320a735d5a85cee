//! Names and connections: the seam between the fetcher and the machine's network.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{REFUSED, is_public};

/// The addresses of a name, once they are known.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// How names become connections. The address guard stands between the two methods: [`Network::connect_to`] sees only addresses that passed.
///
/// The machine's network is [`SystemNetwork`]; tests put a web of their own in its place and so see the fetcher as the public web does.
pub trait Network: fmt::Debug + Send + Sync {
    /// Asks for the addresses of a name.
    fn lookup(&self, name: &str) -> Lookup;

    /// Where to connect for an address; port 0 stands for the port of the URL.
    fn connect_to(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, 0)
    }
}

/// The machine's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn lookup(&self, name: &str) -> Lookup {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves names to public addresses only. A name that has both kinds is asked at its public ones.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver(pub(super) Arc<dyn Network>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let network = Arc::clone(&self.0);
        Box::pin(async move {
            let found = network.lookup(name.as_str()).await?;
            let (public, refused): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(|ip| is_public(*ip));
            if public.is_empty() && !refused.is_empty() {
                return Err(REFUSED.into());
            }
            let addresses: Addrs = Box::new(public.into_iter().map(move |ip| network.connect_to(ip)));
            Ok(addresses)
        })
    }
}
