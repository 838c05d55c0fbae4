//! Sound: every rate and number of channels, missing, alone, and in step with the picture.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use bytes::Bytes;
use harness::contribution::{Message, blind, make, picture, shift, silent, tone, usual};
use harness::{Output, T0, grid, ladder, run, start};
use millstream_encode_wire::message::ToWorker;
use millstream_media::time::UtcTime;

fn encode(media: Vec<Message>) -> Output {
    let mut messages = vec![(start(grid(30, 1), ladder()), Bytes::new())];
    messages.extend(media);
    let output = run(messages);
    output.check(grid(30, 1));
    output
}

/// The largest sample of each tenth of a second, left channel.
fn envelope(output: &Output) -> Vec<f32> {
    let samples = output.samples(2);
    samples.chunks(9600).map(|c| c.iter().step_by(2).fold(0.0_f32, |m, s| m.max(s.abs()))).collect()
}

#[test]
fn mono_at_44100_becomes_stereo_at_48000_at_the_same_pitch_and_level() {
    let output = encode(make(&[&picture("320x180", "30", 3.0), &tone(44_100, 3.0)], "-g 30 -bf 0 -ac 1"));
    let samples = output.samples(2);
    let left: Vec<f32> = samples[48_000..192_000].iter().step_by(2).copied().collect();
    let crossings = left.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
    assert!(crossings.abs_diff(660) <= 2, "{crossings} periods of 440 Hz in 1.5 s");
    // The source's tone has an eighth of full scale.
    let peak = left.iter().fold(0.0_f32, |m, s| m.max(s.abs()));
    assert!((0.115..0.135).contains(&peak), "{peak}");
    assert!(samples[48_000..192_000].chunks(2).all(|s| (s[0] - s[1]).abs() < 0.01));
}

/// The picture flashes and the sound beeps at the same moments.
fn flash_and_beep(seconds: u32) -> Vec<Message> {
    let video = format!(
        "color=black:s=320x180:r=30:d={seconds},drawbox=color=white:t=fill:enable='between(mod(t\\,1)\\,0.5\\,0.599)'"
    );
    let audio = format!("aevalsrc=if(between(mod(t\\,1)\\,0.5\\,0.6)\\,sin(2*PI*1000*t)\\,0):s=48000:d={seconds}");
    make(&[&video, &audio], "-g 30 -bf 2")
}

#[test]
fn sound_and_picture_are_in_step() {
    for offset in [0, 9, 16, 25] {
        let output = encode(shift(flash_and_beep(4), offset));
        let grid = grid(30, 1);
        let frames = output.frames("180p");
        let lit: Vec<bool> = output.pictures("180p").iter().map(|p| p[160 * 90] > 120).collect();
        let flashes: Vec<i64> =
            (1..lit.len()).filter(|i| lit[*i] && !lit[i - 1]).map(|i| grid.frame_time(frames[i]).0 / 1000).collect();
        let samples = output.samples(2);
        let begin = output.audio[0].0;
        let loud = |i: usize| samples[i * 2].abs() > 0.1;
        let mut beeps: Vec<i64> = Vec::new();
        let mut quiet = 10_000;
        for i in 0..samples.len() / 2 {
            if loud(i) && quiet > 4800 {
                beeps.push(((begin + i as u64) as i128 * 1_000_000 / 48_000) as i64);
            }
            quiet = if loud(i) { 0 } else { quiet + 1 };
        }
        assert!(flashes.len() >= 3 && flashes.len() == beeps.len(), "{flashes:?} {beeps:?}");
        for (flash, beep) in flashes.iter().zip(&beeps) {
            assert!((flash - beep).abs() < 26_000, "offset {offset}: {} microseconds", flash - beep);
        }
    }
}

#[test]
fn a_contribution_without_sound_gets_silence() {
    let output = encode(silent(usual(3.0)));
    assert!((90..=91).contains(&output.frames("180p").len()));
    let lag = 90.0 / 30.0 - output.audio.len() as f64 * 1024.0 / 48_000.0;
    assert!((0.0..0.4).contains(&lag), "the silence is {lag} s behind");
    assert!(envelope(&output).iter().all(|e| *e < 0.001));
}

#[test]
fn sound_that_stops_and_returns_leaves_silence_of_its_length() {
    let media = usual(8.0);
    let from = UtcTime(T0.0 + 2_000_000_000);
    let to = UtcTime(T0.0 + 5_000_000_000);
    let gap = |m: &Message| !matches!(m.0, ToWorker::Audio(t) if t.pts >= from && t.pts < to);
    let output = encode(media.into_iter().filter(gap).collect());
    let envelope = envelope(&output);
    assert!(envelope.len().abs_diff(80) <= 2);
    assert!(envelope[5..19].iter().all(|e| *e > 0.1) && envelope[52..78].iter().all(|e| *e > 0.1), "{envelope:?}");
    assert!(envelope[22..49].iter().all(|e| *e < 0.01), "{envelope:?}");
}

/// The server's loss machine bounds the wait for the picture: here it says so with the sound's time.
#[test]
fn a_contribution_without_picture_shows_black_then_the_slate() {
    let mut media = Vec::new();
    for (index, message) in blind(usual(4.0)).into_iter().enumerate() {
        let time = match message.0 {
            ToWorker::Audio(times) => Some(times.pts),
            _ => None,
        };
        media.push(message);
        if let Some(time) = time
            && index % 10 == 0
        {
            media.push((ToWorker::Advance { until: UtcTime(time.0 - 500_000_000), slate: index > 100 }, Bytes::new()));
        }
    }
    let output = encode(media);
    let pictures = output.pictures("180p");
    assert!(pictures.len() > 90);
    assert!(pictures[20].iter().all(|p| (14..=18).contains(p)), "black");
    assert!(pictures[85].iter().any(|p| *p > 150), "the slate has text");
    assert!(envelope(&output)[2..30].iter().all(|e| *e > 0.1), "the sound goes on");
}

#[test]
fn a_slow_clock_is_followed_without_a_hole() {
    // The contribution's sound is 500 ppm fast against its time stamps.
    let media = usual(30.0).into_iter().filter(|m| !matches!(m.0, ToWorker::Video(_))).map(|(message, payload)| {
        let stretched = |t: UtcTime| UtcTime(T0.0 + (t.0 - T0.0) / 10_000 * 10_005);
        let message = match message {
            ToWorker::Audio(t) => {
                let pts = stretched(t.pts);
                ToWorker::Audio(millstream_encode_wire::message::UnitTimes { pts, dts: pts, ..t })
            }
            other => other,
        };
        (message, payload)
    });
    let output = encode(media.collect());
    let expected = 30.0 * 1.0005 * 48_000.0 / 1024.0;
    assert!((output.audio.len() as f64 - expected).abs() < 3.0, "{} frames", output.audio.len());
    assert!(envelope(&output)[2..298].iter().all(|e| (0.11..0.14).contains(e)), "{:?}", envelope(&output));
}
