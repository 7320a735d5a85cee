//! A store of which one write breaks.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// How a write breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Nothing is stored, and an error is returned.
    Before,
    /// It is stored, and an error is returned.
    After,
    /// It is stored, and nothing is ever written again: the writer was killed.
    Dies,
    /// It is held until another writer has been there.
    WaitsForAnother,
}

#[derive(Debug)]
pub(crate) struct Breaking {
    inner: Arc<dyn ObjectStore>,
    how: Break,
    nth: usize,
    writes: AtomicUsize,
    broken: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

impl Breaking {
    /// The write number `nth`, from 0 on, breaks.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, how: Break, nth: usize) -> Self {
        let (writes, broken) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { inner, how, nth, writes, broken, reached: Notify::new(), go_on: Notify::new() }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }
}

impl std::fmt::Display for Breaking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at write {} of {}", self.how, self.nth, self.inner)
    }
}

fn broken<T>() -> Result<T> {
    Err(Error::Generic { store: "breaking", source: "broken on purpose".into() })
}

#[async_trait::async_trait]
impl ObjectStore for Breaking {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        if write != self.nth {
            return match self.is_broken() && self.how == Break::Dies {
                true => broken(),
                false => self.inner.put_opts(location, payload, options).await,
            };
        }
        self.broken.store(true, Ordering::SeqCst);
        match self.how {
            Break::Before => broken(),
            Break::After | Break::Dies => {
                self.inner.put_opts(location, payload, options).await?;
                broken()
            }
            Break::WaitsForAnother => {
                self.reached.notify_one();
                self.go_on.notified().await;
                self.inner.put_opts(location, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
