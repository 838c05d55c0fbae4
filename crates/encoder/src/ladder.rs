//! The ladder stage: scales each picture of the grid once for every rendition and hands it to the encoders.
//!
//! A thread of its own between the decoder and the encoders. Renditions of one shape are scaled in a cascade, each
//! from the one above it.

use std::sync::mpsc::{self, Receiver, SyncSender};

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, VideoRendition};
use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::track::RenditionName;

use crate::libav::{Error, Frame, Rect, Scaler};
use crate::link::{self, Outbox};
use crate::pictures::{self, Pictures};
use crate::rendition::Running;
use crate::{geometry, slate};

/// Pictures that wait to be scaled.
const QUEUED_PICTURES: usize = 4;
/// Scaled pictures of a rendition kept for use again; more are made when the encoders hold more.
const POOLED_PICTURES: usize = 16;

/// A picture and its identity: repeats of it are scaled once.
pub struct Source {
    /// Different for different pictures.
    pub id: u64,
    /// The picture.
    pub frame: Frame,
}

enum Job {
    Picture { frame: FrameIndex, key: bool, source: Source },
    Switch { video: Vec<VideoRendition>, at_segment: u64 },
}

/// The running stage.
pub struct LadderStage {
    jobs: SyncSender<Job>,
    thread: std::thread::JoinHandle<()>,
}

impl LadderStage {
    /// Starts the thread. `resume` names renditions whose first frames are out already.
    pub fn start(
        video: Vec<VideoRendition>,
        grid: SegmentGrid,
        resume: Vec<(RenditionName, FrameIndex)>,
        outbox: Outbox,
    ) -> std::io::Result<LadderStage> {
        let (jobs, queue) = mpsc::sync_channel(QUEUED_PICTURES);
        let thread = link::spawn("ladder", move || {
            let pictures = Pictures::new(grid, outbox.clone());
            let mut work = Work { grid, outbox, slots: Vec::new(), pictures };
            for rendition in video {
                let resume = resume.iter().find(|(name, _)| *name == rendition.name).map_or(0, |(_, frame)| *frame);
                work.add(rendition, resume);
            }
            work.run(&queue);
        })?;
        Ok(LadderStage { jobs, thread })
    }

    /// Gives it the picture of a slot; waits while the encoders are behind.
    pub fn push(&self, frame: FrameIndex, key: bool, source: Source) {
        let _ = self.jobs.send(Job::Picture { frame, key, source });
    }

    /// From the next picture on, the first of `at_segment`, make these renditions.
    pub fn switch(&self, video: Vec<VideoRendition>, at_segment: u64) {
        let _ = self.jobs.send(Job::Switch { video, at_segment });
    }

    /// Encodes what is there and ends.
    pub fn finish(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

struct Slot {
    rendition: VideoRendition,
    running: Running,
    scaler: Option<Scaler>,
    pool: Vec<Frame>,
    /// What the last picture became.
    last: Option<(u64, Frame)>,
}

struct Work {
    grid: SegmentGrid,
    outbox: Outbox,
    slots: Vec<Slot>,
    pictures: Pictures,
}

impl Work {
    fn run(mut self, queue: &Receiver<Job>) {
        for job in queue {
            match job {
                Job::Picture { frame, key, source } => {
                    for index in 0..self.slots.len() {
                        match self.scaled(index, &source) {
                            Ok(picture) => {
                                if let Some(slot) = self.slots.get(index) {
                                    slot.running.push(frame, key, picture);
                                }
                            }
                            Err(error) => self.outbox.warn(format!("a picture is lost: {error}")),
                        }
                    }
                    self.make_pictures(frame, &source);
                }
                Job::Switch { video, at_segment } => self.switch(video, at_segment),
            }
        }
        // All encoders flush at the same time.
        let ends: Vec<_> = self.slots.into_iter().map(|slot| slot.running).collect();
        ends.into_iter().for_each(Running::finish);
    }

    /// Thumbnails that are due, from the smallest rendition's picture that is large enough.
    fn make_pictures(&mut self, frame: FrameIndex, source: &Source) {
        for kind in self.pictures.due(frame) {
            let scaled = self.slots.iter().rev().filter_map(|slot| slot.last.as_ref());
            let mut enough = scaled
                .filter(|(id, picture)| *id == source.id && picture.picture().width >= pictures::wanted_width(*kind));
            let from = enough.next().map_or(&source.frame, |(_, picture)| picture);
            self.pictures.make(*kind, frame, from);
        }
    }

    fn add(&mut self, rendition: VideoRendition, resume: FrameIndex) {
        match Running::start(rendition.clone(), self.grid, resume, self.outbox.clone()) {
            Ok(running) => {
                self.slots.push(Slot { rendition, running, scaler: None, pool: Vec::new(), last: None });
            }
            Err(error) => {
                let reason = format!("rendition {}: no thread for it ({error})", rendition.name);
                self.outbox.send(FromWorker::RenditionFailed { name: rendition.name, reason }, Bytes::new());
            }
        }
    }

    /// Ends the renditions that are not in `video`, keeps those that are unchanged, starts the rest. Failed ones are
    /// tried again.
    fn switch(&mut self, video: Vec<VideoRendition>, at_segment: u64) {
        let mut kept = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            if slot.running.has_failed() {
                continue;
            }
            if video.contains(&slot.rendition) {
                kept.push(slot);
            } else {
                slot.running.finish();
                self.outbox.send(FromWorker::RenditionEnded { name: slot.rendition.name, at_segment }, Bytes::new());
            }
        }
        for rendition in video {
            match kept.iter().position(|slot| slot.rendition == rendition) {
                Some(index) => self.slots.push(kept.swap_remove(index)),
                None => self.add(rendition, 0),
            }
        }
    }

    /// The picture at the size of rendition `index`.
    fn scaled(&mut self, index: usize, source: &Source) -> Result<Frame, Error> {
        let Some((above, [slot, ..])) = self.slots.split_at_mut_checked(index) else { return source.frame.share() };
        if let Some((id, frame)) = &slot.last
            && *id == source.id
        {
            return frame.share();
        }
        let (width, height) = (slot.rendition.width, slot.rendition.height);
        let size = |r: &VideoRendition| (r.width, r.height);
        let cascade = above.last().filter(|a| geometry::cascades(size(&a.rendition), (width, height)));
        let from = match cascade.and_then(|a| a.last.as_ref()) {
            Some((id, frame)) if *id == source.id => frame,
            _ => &source.frame,
        };
        let picture = from.picture();
        let rect = geometry::fit(&picture, width, height);
        let same = (picture.width, picture.height) == (width, height) && picture.is_output_shape();
        let frame =
            if same && rect == (Rect { x: 0, y: 0, width, height }) { from.share()? } else { slot.scale(from, rect)? };
        slot.last = Some((source.id, frame.share()?));
        Ok(frame)
    }
}

impl Slot {
    fn scale(&mut self, from: &Frame, rect: Rect) -> Result<Frame, Error> {
        let (width, height) = (self.rendition.width, self.rendition.height);
        let shape = from.picture();
        let scaler = match &mut self.scaler {
            Some(scaler) if scaler.fits(&shape, rect.width, rect.height) => scaler,
            other => other.insert(Scaler::new(shape, rect.width, rect.height)?),
        };
        // The picture before must not keep its frame from being used again.
        self.last = None;
        // The one used last is still in the processor's cache.
        let mut target = match self.pool.iter_mut().rposition(|frame| frame.is_unshared()) {
            Some(index) => self.pool.remove(index),
            None => Frame::yuv420(width, height)?,
        };
        if (rect.width, rect.height) != (width, height) {
            slate::blacken(&mut target);
        }
        scaler.scale(from, &mut target, rect)?;
        let given = target.share()?;
        if self.pool.len() < POOLED_PICTURES {
            self.pool.push(target);
        }
        Ok(given)
    }
}
