//! One upload: put until it is in the store.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use millstream_media::track::RenditionName;
use object_store::PutPayload;

use crate::asset::AssetId;
use crate::backoff::Backoff;
use crate::layout;
use crate::spool::Spool;
use crate::store::{Cause, Store, StoreError};

/// What is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Init { rendition: RenditionName, version: String },
    Segment { rendition: RenditionName, number: u64 },
}

/// Where its bytes are.
pub(super) enum Source {
    Memory(Vec<Bytes>),
    /// With whether it follows a jump, which is in the file's name.
    Spool(Spool, bool),
}

pub(super) struct Upload {
    pub store: Store,
    pub asset: AssetId,
    pub key: Key,
    pub source: Source,
    pub backoff: Backoff,
}

pub(super) struct Uploaded {
    pub key: Key,
    /// False if its bytes are gone.
    pub is_stored: bool,
}

impl Upload {
    /// Repeats without end: only the recording's own end ends it. A name that is there already is what was to be put:
    /// names are functions of time.
    pub async fn run(self) -> Uploaded {
        let path = match &self.key {
            Key::Init { rendition, version } => layout::init(&self.asset, rendition, version),
            Key::Segment { rendition, number } => layout::segment(&self.asset, rendition, *number),
        };
        let mut told: Option<Cause> = None;
        for attempt in 0.. {
            let Some(payload) = self.payload().await else { break };
            let error = match self.store.create(&path, payload).await {
                Ok(_) | Err(StoreError::Exists { .. }) => {
                    if told.is_some() {
                        tracing::info!(asset = %self.asset, %path, attempt, "the store takes segments again");
                    }
                    return Uploaded { key: self.key, is_stored: true };
                }
                Err(error) => error,
            };
            let cause = if let StoreError::Failed { cause, .. } = &error { Some(*cause) } else { None };
            if attempt == 0 || told != cause {
                tracing::warn!(asset = %self.asset, %error, "an upload failed; it is tried again");
                told = cause;
            }
            self.store.statistics().retries.fetch_add(1, Relaxed);
            tokio::time::sleep(self.backoff.wait(attempt, rand::random())).await;
        }
        Uploaded { key: self.key, is_stored: false }
    }

    async fn payload(&self) -> Option<PutPayload> {
        match (&self.source, &self.key) {
            (Source::Memory(chunks), _) => Some(chunks.iter().cloned().collect()),
            (Source::Spool(spool, jump), Key::Segment { rendition, number }) => {
                let (spool, rendition, number, jump) = (spool.clone(), rendition.clone(), *number, *jump);
                let read = tokio::task::spawn_blocking(move || spool.segment(&rendition, number, jump)).await;
                match read {
                    Ok(Ok(bytes)) => Some(bytes.into()),
                    Ok(Err(error)) => {
                        tracing::error!(asset = %self.asset, key = ?self.key, %error, "the spool lost a segment");
                        None
                    }
                    Err(_) => None,
                }
            }
            (Source::Spool(..), Key::Init { .. }) => None,
        }
    }
}
