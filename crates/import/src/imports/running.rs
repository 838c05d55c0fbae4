//! Runs imports one after the other, tells how they come on, and tidies up behind them.

use std::time::Duration;

use millstream_archive::{StoreError, retention};
use millstream_encode_wire::message::{FileFacts, MAX_NOTES};
use millstream_media::time::{MonoTime, UtcTime};
use tokio::sync::watch;

use super::Imports;
use crate::job::{Job, JobId, Progress, State};
use crate::transcode::{self, Failure, News, Outcome, Wanted};

/// Workers that may die at the same segment, after which what is stored is all there will be.
const MAX_DEATHS: u32 = 2;
/// Wait before another try after the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How often uploads are looked through for those that were given up.
const TIDY_EVERY: Duration = Duration::from_secs(600);

impl Imports {
    /// Runs imports until the server stops. Those that are cut go on with the next start.
    pub async fn run(&self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            self.tidy().await;
            match self.next() {
                // It ends by itself when the server stops.
                Some(id) => self.import(&id, stopping.clone()).await,
                None => tokio::select! {
                    () = self.inner.ready.notified() => {}
                    () = tokio::time::sleep(TIDY_EVERY) => {}
                    _ = stopping.wait_for(|s| *s) => {}
                },
            }
        }
    }

    /// The import that has waited longest.
    fn next(&self) -> Option<JobId> {
        let entries = self.entries();
        let waiting = entries.values().filter(|e| e.job.state == State::Waiting);
        waiting.min_by_key(|e| (e.job.created, e.job.id.clone())).map(|e| e.job.id.clone())
    }

    async fn import(&self, id: &JobId, stopping: watch::Receiver<bool>) {
        let Some((job, cancel)) = self.begin(id).await else { return };
        let mut deaths = (0, UtcTime::EPOCH);
        loop {
            // The source may have gone with a disk that was cleaned.
            let file = match self.inner.spool.read(id) {
                Ok(file) => file,
                Err(error) => {
                    return self.fail(id, format!("the uploaded file is gone ({error}); import it again")).await;
                }
            };
            let wanted = Wanted { asset: job.asset.clone(), title: job.title.clone() };
            let (either, stop) = watch::channel(false);
            let mut watching = (cancel.clone(), stopping.clone());
            let told = async {
                tokio::select! {
                    _ = watching.0.wait_for(|s| *s) => {}
                    _ = watching.1.wait_for(|s| *s) => {}
                }
                either.send_replace(true);
                std::future::pending::<()>().await
            };
            let started = self.inner.clock.mono();
            let mut first = None;
            let run = transcode::run(&self.inner.setup, &wanted, file, stop, |news| {
                self.note(id, news, started, &mut first);
            });
            let ended = tokio::select! {
                ended = run => ended,
                () = told => return,
            };
            if *cancel.borrow() {
                self.delete_asset(&job).await;
                self.entries().remove(id);
                return self.forget(id).await;
            }
            match ended {
                Ok(Outcome::Done { losses }) => return self.finish(id, losses).await,
                Ok(Outcome::Deleted) => {
                    return self.fail(id, "its asset was deleted while it was imported".to_owned()).await;
                }
                // The document still says that it is being imported: the next start goes on.
                Ok(Outcome::Stopped) => return,
                Err(Failure::Unusable(reason)) => return self.fail(id, reason).await,
                Err(Failure::Worker(error)) => {
                    let at = self.position(id);
                    deaths = if deaths.1 == at { (deaths.0 + 1, at) } else { (1, at) };
                    tracing::warn!(import = %id, %error, deaths = deaths.0, "an import's worker ended");
                    if deaths.0 >= MAX_DEATHS {
                        return self.give_up(id, &wanted, error.to_string()).await;
                    }
                }
                Err(Failure::Store(error)) => {
                    tracing::warn!(import = %id, %error, "an import waits for the store");
                    if !self.pause(&cancel, &stopping).await {
                        continue;
                    }
                }
            }
            if *stopping.borrow() {
                return;
            }
        }
    }

    /// Waits a while; true if something stops the import meanwhile.
    async fn pause(&self, cancel: &watch::Receiver<bool>, stopping: &watch::Receiver<bool>) -> bool {
        let (mut cancel, mut stopping) = (cancel.clone(), stopping.clone());
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => false,
            _ = cancel.wait_for(|s| *s) => true,
            _ = stopping.wait_for(|s| *s) => true,
        }
    }

    async fn begin(&self, id: &JobId) -> Option<(Job, watch::Receiver<bool>)> {
        let cancel = self.entries().get(id)?.stop.subscribe();
        let changed = self.change(id, |job| job.state = State::Importing).await;
        if let Err(error) = changed {
            // It runs all the same; a restart begins it from what is stored.
            tracing::warn!(import = %id, %error, "an import's document is old");
        }
        let job = self.entries().get(id)?.job.clone();
        tracing::info!(import = %id, asset = %job.asset, file = job.file, bytes = job.size, "importing");
        Some((job, cancel))
    }

    fn position(&self, id: &JobId) -> UtcTime {
        let ms = self.entries().get(id).map_or(0, |e| e.progress.position_ms);
        UtcTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX / 1_000_000))
    }

    fn note(&self, id: &JobId, news: News, started: MonoTime, first: &mut Option<u64>) {
        let now = self.inner.clock.mono();
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(id) else { return };
        match news {
            News::Probed(facts) => probed(&mut entry.job, facts),
            News::GoesOn(segment) => tracing::info!(import = %id, segment, "the import goes on"),
            News::Note(text) => {
                if entry.job.notes.len() < MAX_NOTES && !entry.job.notes.contains(&text) {
                    entry.job.notes.push(text);
                }
            }
            News::Stats(stats) => {
                entry.progress.decoded_frames = stats.decoded;
                entry.progress.cpu_ms = stats.cpu_ms;
            }
            News::Position(until) => {
                let ms = u64::try_from(until.as_millis()).unwrap_or(0);
                let begun = *first.get_or_insert(ms);
                let seconds = now.since(started).as_secs_f64();
                let speed = if seconds > 0.0 { ms.saturating_sub(begun) as f64 / 1000.0 / seconds } else { 0.0 };
                entry.progress = Progress { position_ms: entry.progress.position_ms.max(ms), speed, ..entry.progress };
            }
        }
    }

    async fn finish(&self, id: &JobId, losses: Vec<String>) {
        let now = self.now();
        self.over(id, |job| {
            (job.state, job.ended) = (State::Done, Some(now));
            job.notes.extend(losses);
        })
        .await;
    }

    /// What is stored is all there will be.
    async fn give_up(&self, id: &JobId, wanted: &Wanted, reason: String) {
        match transcode::close(&self.inner.setup, wanted).await {
            Ok(true) => {
                let seconds = self.position(id).as_millis() / 1000;
                let loss = format!("from second {seconds} on it could not be encoded ({reason}); the rest is missing");
                self.finish(id, vec![loss]).await;
            }
            Ok(false) => self.fail(id, reason).await,
            Err(error) => self.fail(id, format!("{reason}; and its asset could not be closed: {error}")).await,
        }
    }

    async fn fail(&self, id: &JobId, reason: String) {
        let now = self.now();
        self.over(id, |job| {
            (job.state, job.ended, job.error) = (State::Failed, Some(now), Some(reason));
        })
        .await;
    }

    async fn over(&self, id: &JobId, change: impl FnOnce(&mut Job)) {
        if let Err(error) = self.change(id, change).await {
            tracing::error!(import = %id, %error, "how an import ended could not be noted");
        }
        let (spool, of) = (self.inner.spool.clone(), id.clone());
        let _ = tokio::task::spawn_blocking(move || spool.forget_media(&of)).await;
        if let Some(entry) = self.entries().get(id) {
            let Job { state, error, asset, notes, .. } = &entry.job;
            tracing::info!(import = %id, %asset, ?state, ?error, ?notes, "import over");
        }
    }

    /// Deletes what a cancelled import has made.
    pub(super) async fn delete_asset(&self, job: &Job) {
        match retention::mark(&self.inner.setup.store, &job.asset).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(import = %job.id, asset = %job.asset, %error, "a cancelled import is still stored")
            }
        }
    }

    /// Gives up uploads that nobody goes on with, and forgets what is long over.
    async fn tidy(&self) {
        let now = self.now();
        let idle: Vec<JobId> = {
            let entries = self.entries();
            let is_idle =
                |j: &Job| now.since(self.inner.spool.touched(&j.id).unwrap_or(j.created)) > self.inner.limits.idle;
            let uploads = entries.values().filter(|e| e.job.state == State::Uploading && !e.uploading);
            uploads.filter(|e| is_idle(&e.job)).map(|e| e.job.id.clone()).collect()
        };
        for id in idle {
            self.fail(&id, "its upload was given up; import the file again".to_owned()).await;
        }
        let mut over: Vec<(UtcTime, JobId)> = {
            let entries = self.entries();
            let over = entries.values().filter(|e| e.job.state.is_over());
            over.map(|e| (e.job.ended.unwrap_or(e.job.created), e.job.id.clone())).collect()
        };
        over.sort();
        let surplus = over.len().saturating_sub(self.inner.limits.over);
        for (_, id) in over.drain(..surplus) {
            self.entries().remove(&id);
            self.forget(&id).await;
        }
    }
}

fn probed(job: &mut Job, facts: FileFacts) {
    job.duration_ms = facts.duration.map(|nanos| nanos / 1_000_000);
    job.notes = facts.notes;
}
