//! A store that fails, is slow or cuts, as the test says.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault {
    /// It takes so long before it is done, and as long before the answer comes.
    pub delay: Duration,
    /// It is not done.
    pub before: Option<&'static str>,
    /// It is done, and the answer is lost.
    pub after: Option<&'static str>,
}

type Plan = Box<dyn FnMut(&str, &Path) -> Fault + Send>;
type Seen = Box<dyn FnMut(&str, &Path) + Send>;

pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Mutex<Plan>,
    seen: Mutex<Seen>,
}

impl FaultStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(FaultStore {
            inner,
            plan: Mutex::new(Box::new(|_, _| Fault::default())),
            seen: Mutex::new(Box::new(|_, _| {})),
        })
    }

    pub fn plan(&self, plan: impl FnMut(&str, &Path) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// Called after each change that was really made.
    pub fn on_change(&self, seen: impl FnMut(&str, &Path) + Send + 'static) {
        *self.seen.lock().unwrap() = Box::new(seen);
    }

    async fn before(&self, operation: &str, path: &Path) -> Result<Fault> {
        let fault = (self.plan.lock().unwrap())(operation, path);
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        fault.before.map_or(Ok(fault), |said| Err(failure(said)))
    }

    async fn after(&self, fault: Fault) -> Result<()> {
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        fault.after.map_or(Ok(()), |said| Err(failure(said)))
    }
}

fn failure(said: &'static str) -> Error {
    Error::Generic { store: "S3", source: said.into() }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.before("put", path).await?;
        let result = self.inner.put_opts(path, payload, options).await?;
        (self.seen.lock().unwrap())("put", path);
        self.after(fault).await?;
        Ok(result)
    }

    async fn put_multipart_opts(&self, path: &Path, o: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, o).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.before("get", path).await?;
        let result = self.inner.get_opts(path, options).await?;
        self.after(fault).await?;
        Ok(result)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = (self.plan.lock().unwrap())("list", prefix.unwrap_or(&Path::default()));
        match fault.before {
            Some(said) => futures::stream::once(async move { Err(failure(said)) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
