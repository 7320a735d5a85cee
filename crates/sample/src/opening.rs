//! What a sample site remembers of its first opening, so that after a restart its posts are the same and stand at the same addresses.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tracing::warn;
use vigie_clock::Timestamp;

/// Kept as JSON in a file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) address: SocketAddr,
    pub(crate) opened_at: Timestamp,
}

/// Listens where the site of `file` was, or on a free port of the loopback interface.
pub(crate) async fn open(file: Option<&Path>, now: Timestamp) -> io::Result<(TcpListener, Opening)> {
    let known: Option<Opening> =
        file.and_then(|file| std::fs::read(file).ok()).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let opened_at = known.map_or(now, |known| known.opened_at);
    let listener = match known {
        Some(Opening { address, .. }) => match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                warn!(%address, %error, "the sample site moves to another port: links of earlier posts lead nowhere");
                any_port().await?
            }
        },
        None => any_port().await?,
    };
    let opening = Opening { address: listener.local_addr()?, opened_at };
    if let Some(file) = file
        && known != Some(opening)
    {
        std::fs::write(file, serde_json::to_vec(&opening)?)?;
    }
    Ok((listener, opening))
}

async fn any_port() -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_site_opens_again_where_and_as_it_was_and_elsewhere_if_its_port_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sample.json");
        let (listener, first) = open(Some(&file), Timestamp::from_millis(1)).await.unwrap();
        drop(listener);
        let (taken, again) = open(Some(&file), Timestamp::from_millis(2)).await.unwrap();
        assert_eq!(again, first);
        let (_elsewhere, moved) = open(Some(&file), Timestamp::from_millis(3)).await.unwrap();
        assert_ne!(moved.address, taken.local_addr().unwrap());
        assert_eq!(moved.opened_at, first.opened_at);
        assert_eq!(serde_json::from_slice::<Opening>(&std::fs::read(&file).unwrap()).unwrap(), moved);
        let (_, forgetful) = open(None, Timestamp::from_millis(4)).await.unwrap();
        assert_eq!(forgetful.opened_at, Timestamp::from_millis(4));
    }
}
