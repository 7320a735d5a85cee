//! Files and manifests in a store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientConfigKey, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig,
};
use sha2::{Digest as _, Sha256};
use vigie_clock::Timestamp;

use crate::error::ArchiveError;
use crate::file::Finished;
use crate::location::Location;
use crate::manifest::{ArchivedFile, FORMAT, Manifest, Span};

/// Manifests that are kept, the newest among them: a reader may just have found an older one.
const KEPT_MANIFESTS: u64 = 16;
/// For a whole file over a slow line.
const REQUEST_TIMEOUT: &str = "300s";
/// Who writes waits longer by doing all again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// An archive of topics.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

/// A manifest, and the number under which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Counts up by one.
    pub version: u64,
    /// What it says.
    pub manifest: Manifest,
}

impl Archive {
    /// The archive at `location`. A folder is made if it is not there; S3 is not asked yet.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] if the folder cannot be made, or S3's settings are wrong.
    pub fn open(location: &Location) -> Result<Self, ArchiveError> {
        match location {
            Location::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|e| Error::Generic { store: "folder", source: Box::new(e) })?;
                let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
                Ok(Self::on(Arc::new(store), ""))
            }
            Location::S3 { bucket, prefix } => {
                let _ = rustls::crypto::ring::default_provider().install_default();
                let retries = RetryConfig { max_retries: 3, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
                let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
                let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries);
                Ok(Self::on(Arc::new(builder.with_config(timeout, REQUEST_TIMEOUT).build()?), prefix))
            }
        }
    }

    /// An archive below `prefix` in any store that can put an object only if there is none of its name.
    pub fn on(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, root: Path::from(prefix) }
    }

    fn path(&self, path: &str) -> Path {
        self.root.parts().chain(Path::from(path).parts()).collect()
    }

    /// Where a file is in the store, for other readers: the path below the root's folder or bucket.
    pub fn key(&self, file: &ArchivedFile) -> String {
        self.path(&file.path).to_string()
    }

    /// The partitions of `topic` that are archived.
    ///
    /// # Errors
    /// [`ArchiveError::Store`].
    pub async fn partitions(&self, topic: &str) -> Result<Vec<i32>, ArchiveError> {
        let folders = self.store.list_with_delimiter(Some(&self.path(&format!("{topic}/_manifest")))).await?;
        let name = |path: &Path| path.filename().and_then(|name| name.parse().ok());
        let mut partitions: Vec<i32> = folders.common_prefixes.iter().filter_map(name).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// What is archived of a partition; `None` if nothing ever was.
    ///
    /// # Errors
    /// [`ArchiveError::Store`], or [`ArchiveError::Corrupt`] for a manifest that cannot be read.
    pub async fn load(&self, topic: &str, partition: i32) -> Result<Option<Stored>, ArchiveError> {
        let Some(version) = self.versions(topic, partition).await?.into_iter().max() else { return Ok(None) };
        let path = manifest_path(topic, partition, version);
        let bytes = self.store.get(&self.path(&path)).await?.bytes().await?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| ArchiveError::corrupt(&path, e))?;
        if manifest.format > FORMAT || manifest.topic != topic || manifest.partition != partition {
            let Manifest { format, topic, partition, .. } = manifest;
            let detail = format!("format {format} of {topic}-{partition}, expected up to {FORMAT} of its folder");
            return Err(ArchiveError::corrupt(path, detail));
        }
        Ok(Some(Stored { version, manifest }))
    }

    async fn versions(&self, topic: &str, partition: i32) -> Result<Vec<u64>, ArchiveError> {
        let folder = self.path(&format!("{topic}/_manifest/{partition}"));
        let version = |name: &str| name.strip_suffix(".json")?.parse().ok();
        let listed: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        Ok(listed.iter().filter_map(|object| version(object.location.filename()?)).collect())
    }

    /// Makes `manifest` what is archived, if `base` still is: files and offsets together, whole or not at all.
    ///
    /// # Errors
    /// [`ArchiveError::Conflict`] if another writer was faster. After [`ArchiveError::Store`] it may be stored or not: load it.
    pub async fn commit(&self, base: Option<&Stored>, manifest: Manifest) -> Result<Stored, ArchiveError> {
        let version = base.map_or(1, |base| base.version + 1);
        let path = manifest_path(&manifest.topic, manifest.partition, version);
        let json = serde_json::to_vec_pretty(&manifest).map_err(|e| ArchiveError::corrupt(&path, e))?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.path(&path), PutPayload::from(json), options).await {
            Ok(_) => Ok(Stored { version, manifest }),
            Err(Error::AlreadyExists { .. }) => {
                Err(ArchiveError::Conflict { topic: manifest.topic, partition: manifest.partition, version })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a file under a name of its own. It counts once a manifest with it is committed.
    ///
    /// # Errors
    /// [`ArchiveError::Store`].
    pub async fn put(
        &self,
        topic: &str,
        partition: i32,
        span: Span,
        file: Finished,
    ) -> Result<ArchivedFile, ArchiveError> {
        let Finished { bytes, records, appended: (first_appended_at, last_appended_at) } = file;
        let hour = first_appended_at.to_jiff().map(|time| time.strftime("%Y-%m-%d/%H").to_string());
        let hour = hour.unwrap_or_else(|| "undated/00".to_owned());
        let path =
            format!("{topic}/{partition}/{hour}-{:020}-{:016x}.parquet", span.first_offset, rand::random::<u64>());
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        let size = bytes.len() as u64;
        self.store.put(&self.path(&path), PutPayload::from(bytes)).await?;
        Ok(ArchivedFile { path, span, records, bytes: size, sha256, first_appended_at, last_appended_at })
    }

    /// What is in a file, which must be what was written.
    ///
    /// # Errors
    /// [`ArchiveError::Store`], or [`ArchiveError::Corrupt`] if it is missing or differs.
    pub async fn get(&self, file: &ArchivedFile) -> Result<Bytes, ArchiveError> {
        let bytes = match self.store.get(&self.path(&file.path)).await {
            Ok(found) => found.bytes().await?,
            Err(Error::NotFound { .. }) => return Err(ArchiveError::corrupt(&file.path, "the file is missing")),
            Err(error) => return Err(error.into()),
        };
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        if sha256 != file.sha256 {
            let detail = format!("SHA-256 is {sha256}, expected {}", file.sha256);
            return Err(ArchiveError::corrupt(&file.path, detail));
        }
        Ok(bytes)
    }

    /// Removes files that are replaced. Readers of an older manifest no longer find them.
    ///
    /// # Errors
    /// [`ArchiveError::Store`].
    pub async fn remove(&self, files: &[ArchivedFile]) -> Result<(), ArchiveError> {
        for file in files {
            self.delete(&self.path(&file.path)).await?;
        }
        Ok(())
    }

    /// Removes what writers left that died before their commit: files that `stored`, the newest manifest, does not name and that
    /// nobody has touched since `before`; and old manifests. Returns how many files.
    ///
    /// # Errors
    /// [`ArchiveError::Store`].
    pub async fn clean(&self, stored: &Stored, before: Timestamp) -> Result<usize, ArchiveError> {
        let Manifest { topic, partition, files, .. } = &stored.manifest;
        let named: std::collections::HashSet<Path> = files.iter().map(|file| self.path(&file.path)).collect();
        let listed: Vec<_> = self.store.list(Some(&self.path(&format!("{topic}/{partition}")))).try_collect().await?;
        let mut removed = 0;
        for object in listed {
            let is_old = object.last_modified.timestamp_millis() < before.as_millis();
            if is_old && !named.contains(&object.location) {
                self.delete(&object.location).await?;
                removed += 1;
            }
        }
        for version in self.versions(topic, *partition).await? {
            if version + KEPT_MANIFESTS <= stored.version {
                self.delete(&self.path(&manifest_path(topic, *partition, version))).await?;
            }
        }
        Ok(removed)
    }

    async fn delete(&self, path: &Path) -> Result<(), ArchiveError> {
        match self.store.delete(path).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn manifest_path(topic: &str, partition: i32, version: u64) -> String {
    format!("{topic}/_manifest/{partition}/{version:020}.json")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
