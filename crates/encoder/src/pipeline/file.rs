//! The pipeline fed from a file: not paced, nothing dropped, held back by whoever takes its output.
//!
//! Picture and sound of a file may lie apart; output waits until the other one is there, up to [`APART`], beyond which
//! silence or the last picture stands in, so that what waits at the server has a bound.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, MAX_NOTES};
use millstream_media::time::UtcTime;

use super::Pipeline;
use crate::file::Opened;
use crate::file::timeline::{LONGEST_PAUSE_SECONDS, Timeline};
use crate::libav::{Decoder, Packet};
use crate::link::Shared;

/// Most media time by which picture and sound are waited for.
const APART: Duration = Duration::from_secs(10);
/// Sound that goes on after the picture by more than this is accompanied by the last picture; a shorter rest is the
/// filling of the last frame.
const LATE_SOUND: Duration = Duration::from_millis(100);
/// Decoding begins so much before the point at which an import goes on, so that decoders have what they refer to.
const RUN_UP: i64 = 1_000_000_000;
/// Errors in a row at which reading is given up.
const MAX_ERRORS: u32 = 100;
/// Threads for decoding the picture, at most.
const MAX_THREADS: usize = 4;
/// What is missing at the end is told from this on, in nanoseconds.
const MISSING: i64 = 1_000_000_000;

/// What the reading of a file came to.
#[derive(Default)]
struct Account {
    /// End of the last packet, in media time.
    end: i64,
    /// End of the last packet with a picture.
    picture_end: i64,
    encrypted: bool,
    failure: Option<String>,
}

impl Pipeline {
    /// Makes everything of the file, from the first frame that is asked for on.
    pub fn run_file(mut self, mut file: Opened) {
        self.conform = self.conform.with_longest_gap(LONGEST_PAUSE_SECONDS);
        let base = self.grid.frame_time(self.first_frame).0;
        let mut timeline = Timeline::new(file.origin, file.demuxer.may_jump());
        let account = match self.open_streams(&mut file, base) {
            Ok(()) => self.read(&mut file, &mut timeline, base),
            Err(failure) => Account { failure: Some(failure), ..Account::default() },
        };
        self.end_streams(&file, &account);
        let losses = self.losses(&file, &account, &timeline);
        self.audio.finish();
        self.stage.finish();
        self.outbox.send(FromWorker::FileRead { losses }, Bytes::new());
        self.outbox.send(FromWorker::Finished, Bytes::new());
    }

    /// Opens the decoders, and goes to where the output begins.
    fn open_streams(&mut self, file: &mut Opened, base: i64) -> Result<(), String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let open = |index, threads: usize| {
            let threads = i32::try_from(threads).unwrap_or(1);
            Decoder::open_stream(&file.demuxer, index, threads).map_err(|e| e.to_string())
        };
        if let Some(video) = &file.video {
            let decoder = open(video.index, threads)?;
            self.input.open_stream(decoder, file.picture_nanos(), video.quarter_turns);
        }
        if let Some(audio) = &file.audio {
            let decoder = open(audio.index, 1)?;
            self.audio.open_stream(decoder, LONGEST_PAUSE_SECONDS);
        }
        let from = base - RUN_UP;
        if from > 0 && file.demuxer.can_seek() {
            let leading = file.video.as_ref().or(file.audio.as_ref()).map_or(-1, |s| s.index);
            // From the beginning, then: what lies before is decoded and left out.
            let _ = file.demuxer.seek(leading, from.saturating_add(file.origin));
        }
        Ok(())
    }

    fn read(&mut self, file: &mut Opened, timeline: &mut Timeline, base: i64) -> Account {
        let (video, audio) = (file.video.as_ref().map(|s| s.index), file.audio.as_ref().map(|s| s.index));
        let mut account = Account::default();
        let mut errors = 0;
        loop {
            self.shared.busy();
            let mut packet = match file.demuxer.read() {
                Ok(Some(packet)) => packet,
                Ok(None) => return account,
                Err(error) => {
                    errors += 1;
                    if errors >= MAX_ERRORS {
                        account.failure = Some(error.to_string());
                        return account;
                    }
                    continue;
                }
            };
            errors = 0;
            let stream = Some(packet.stream());
            if stream != video && stream != audio {
                continue;
            }
            account.encrypted |= packet.is_encrypted();
            if account.encrypted {
                return account;
            }
            if let Some(time) = packet.time() {
                packet.shift(timeline.shift(time));
            }
            account.note(&packet, stream == video);
            packet.shift(-base);
            if stream == video {
                let pictures = self.input.packet(&packet);
                self.pictures(pictures);
            } else {
                self.audio.packet(&packet);
            }
            if video.is_some() && audio.is_some() {
                self.audio.fill_until(self.conform.next_time() - APART);
                self.show_until(self.audio.position() - APART);
            }
        }
    }

    /// Fills frames up to `until` with what is shown.
    fn show_until(&mut self, until: UtcTime) {
        while self.conform.next_time() < until {
            self.repeat(false);
        }
    }

    /// Gets what the decoders hold back, and lets picture and sound end together.
    fn end_streams(&mut self, file: &Opened, account: &Account) {
        let held = self.input.finish();
        self.pictures(held);
        self.audio.end_of_stream();
        if file.video.is_none() {
            return;
        }
        // A last picture that is shown for long, as in a series of slides. Half a picture of rounding is none.
        let length = file.picture_nanos();
        let nothing = self.conform.next() == self.first_frame;
        if !nothing && account.picture_end > self.conform.next_time().0 + length / 2 + length {
            self.show_until(UtcTime(account.picture_end - length / 2));
        }
        if file.audio.is_some() {
            let sound = self.audio.position();
            if sound > self.conform.next_time() + LATE_SOUND {
                self.show_until(sound);
            }
            self.audio.fill_until(self.conform.next_time());
        }
    }

    /// What is missing of the file.
    fn losses(&self, file: &Opened, account: &Account, timeline: &Timeline) -> Vec<String> {
        let mut losses = Vec::new();
        if account.encrypted {
            let from =
                if account.end > 0 { format!(" from {:.1} s on", account.end as f64 / 1e9) } else { String::new() };
            losses.push(format!("the file is encrypted (DRM){from}; import a copy without protection"));
            return losses;
        }
        if let Some(failure) = &account.failure {
            losses.push(format!("reading the file failed: {failure}"));
        }
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { decoded, decode_errors, dropped, .. } = &*self.shared;
        if get(decode_errors) > 0 {
            losses.push(format!("{} units could not be decoded and are missing", get(decode_errors)));
        }
        if get(dropped) > 0 {
            let (dropped, rate) = (get(dropped), self.grid.rate().as_f64());
            losses.push(format!(
                "{dropped} of {} pictures found no place at {rate:.2} pictures a second and are missing",
                get(decoded)
            ));
        }
        if timeline.jumps() > 0 {
            losses.push(format!("its time stamps jump {} times; what lies between is joined", timeline.jumps()));
        }
        if let Some(duration) = file.facts.duration.and_then(|d| i64::try_from(d).ok())
            && timeline.jumps() == 0
            && duration - account.end > MISSING.max(duration / 100)
        {
            let seconds = |nanos: i64| nanos as f64 / 1e9;
            losses.push(format!(
                "the file is truncated or damaged: it says {:.1} s and has {:.1} s; the rest is missing",
                seconds(duration),
                seconds(account.end.max(0))
            ));
        }
        losses.truncate(MAX_NOTES);
        losses
    }
}

impl Account {
    fn note(&mut self, packet: &Packet, is_picture: bool) {
        let Some(end) = packet.end() else { return };
        self.end = self.end.max(end);
        if is_picture {
            self.picture_end = self.picture_end.max(end);
        }
    }
}
