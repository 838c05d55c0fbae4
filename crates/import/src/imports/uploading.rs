//! Uploads that can be gone on with: each piece names the byte it begins with.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;

use super::{ImportError, Imports};
use crate::job::{JobId, State};

/// The right to append to an upload; one at a time.
struct Turn<'a> {
    imports: &'a Imports,
    id: &'a JobId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.imports.entries().get_mut(self.id) {
            entry.uploading = false;
        }
    }
}

impl Imports {
    /// Appends to an upload from `offset` on. Returns the offset after it; the import is run once the file is whole. What
    /// came before an error is kept.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn append<E>(
        &self,
        id: &JobId,
        offset: u64,
        pieces: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<u64, ImportError> {
        let (turn, size) = self.take_turn(id, offset)?;
        let mut file = tokio::fs::File::from_std(self.inner.spool.write_from(id, offset).map_err(ImportError::Spool)?);
        let mut at = offset;
        let mut pieces = std::pin::pin!(pieces);
        let mut result = Ok(());
        while let Some(piece) = pieces.next().await {
            let Ok(piece) = piece else {
                result = Err(ImportError::BrokeOff);
                break;
            };
            if piece.len() as u64 > size - at {
                result = Err(ImportError::TooLong(size));
                break;
            }
            if let Err(error) = file.write_all(&piece).await {
                result = Err(ImportError::Spool(error));
                break;
            }
            at += piece.len() as u64;
        }
        let flushed = match file.flush().await {
            Ok(()) => file.sync_data().await,
            error => error,
        };
        result?;
        flushed.map_err(ImportError::Spool)?;
        drop(turn);
        if at == size {
            self.change(id, |job| {
                if job.state == State::Uploading {
                    job.state = State::Waiting;
                }
            })
            .await?;
            self.inner.ready.notify_one();
        }
        Ok(at)
    }

    fn take_turn<'a>(&'a self, id: &'a JobId, offset: u64) -> Result<(Turn<'a>, u64), ImportError> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(id) else { return Err(ImportError::NotFound(id.to_string())) };
        if entry.job.state != State::Uploading {
            return Err(ImportError::NotUploading(id.clone()));
        }
        if entry.uploading {
            return Err(ImportError::Busy);
        }
        let is = self.inner.spool.received(id);
        if is != offset {
            return Err(ImportError::Offset { is, given: offset });
        }
        let size = entry.job.size;
        if is > size {
            return Err(ImportError::Spool(io::Error::other("the file is longer than announced; cancel the import")));
        }
        entry.uploading = true;
        Ok((Turn { imports: self, id }, size))
    }
}
