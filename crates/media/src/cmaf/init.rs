//! The CMAF header: `ftyp` and `moov` of a track.

use bytes::Bytes;

use super::TRACK_ID;
use super::boxes::BoxWriter;
use super::sample_entry;
use crate::codec::{AudioConfig, AvcConfig, VideoConfig};
use crate::protection::TrackEncryption;
use crate::track::{Track, TrackMedia};

/// The unity matrix of `mvhd` and `tkhd`.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// ISO 639-2 `und`, packed.
const LANGUAGE_UND: u16 = 0x55c4;

/// The init segment of a track: track 1, language `und`, no edit list, all durations 0, all sample tables empty
/// (STANDARDS 3.1 to 3.3, 3.9, 3.16). NAL unit lengths are said to have 4 bytes, as [`crate::unit::Sample`] demands,
/// whatever the contribution's record says.
pub fn init_segment(track: &Track) -> Bytes {
    write(track, None)
}

/// The init segment of a track whose samples are encrypted (STANDARDS 3.2, 3.17).
pub fn protected_init_segment(track: &Track, encryption: &TrackEncryption) -> Bytes {
    write(track, Some(encryption))
}

fn write(track: &Track, encryption: Option<&TrackEncryption>) -> Bytes {
    let mut w = BoxWriter::with_capacity(1024);
    w.brands(b"ftyp", b"cmfc", &brands(track));
    w.put_box(b"moov", |w| {
        mvhd(w, track.timescale.get());
        w.put_box(b"trak", |w| {
            tkhd(w, track);
            w.put_box(b"mdia", |w| mdia(w, track, encryption));
        });
        w.put_box(b"mvex", |w| {
            w.put_full_box(b"trex", 0, 0, |w| {
                w.u32(TRACK_ID);
                w.u32(1); // default_sample_description_index
                w.zeros(12); // duration, size, flags: each chunk says its own
            });
        });
        for pssh in encryption.iter().flat_map(|encryption| &encryption.pssh) {
            w.bytes(pssh);
        }
    });
    w.finish()
}

/// The structural brands, and those of the CMAF media profiles that the track keeps to.
fn brands(track: &Track) -> Vec<[u8; 4]> {
    let mut brands = vec![*b"cmfc", *b"iso6", *b"dash"];
    match &track.media {
        TrackMedia::Video { config: VideoConfig::Avc(avc), width, height, .. } => {
            brands.extend(avc_profile_brands(avc, *width, *height));
        }
        TrackMedia::Audio { config: AudioConfig::Aac(aac) } if aac.channels <= 2 && aac.sample_rate <= 48_000 => {
            brands.push(*b"caac");
        }
        _ => {}
    }
    brands
}

/// All AVC media profiles that fit, the smallest first: a 360p track keeps to the HD profile too, and all tracks of a
/// switching set must share one (STANDARDS 3.10).
fn avc_profile_brands(avc: &AvcConfig, width: u32, height: u32) -> impl Iterator<Item = [u8; 4]> {
    // Maxima of the profiles: width, height, level.
    const PROFILES: [([u8; 4], u32, u32, u8); 3] =
        [(*b"cfsd", 864, 576, 31), (*b"cfhd", 1920, 1080, 40), (*b"chdf", 1920, 1080, 42)];
    let [profile, _, level] = avc.profile();
    let fits = matches!(profile, 66 | 77 | 100);
    PROFILES
        .into_iter()
        .filter(move |&(_, w, h, l)| fits && width <= w && height <= h && level <= l)
        .map(|(brand, ..)| brand)
}

fn mvhd(w: &mut BoxWriter, timescale: u32) {
    w.put_full_box(b"mvhd", 0, 0, |w| {
        w.zeros(8); // creation and modification time
        w.u32(timescale);
        w.u32(0); // duration
        w.u32(0x1_0000); // rate 1.0
        w.u16(0x100); // volume 1.0
        w.zeros(10);
        MATRIX.iter().for_each(|&m| w.u32(m));
        w.zeros(24);
        w.u32(TRACK_ID + 1); // next_track_ID
    });
}

fn tkhd(w: &mut BoxWriter, track: &Track) {
    // Enabled, in movie, in preview.
    w.put_full_box(b"tkhd", 0, 7, |w| {
        w.zeros(8);
        w.u32(TRACK_ID);
        w.zeros(4);
        w.u32(0); // duration
        w.zeros(8);
        w.zeros(4); // layer, alternate_group
        w.u16(if track.is_video() { 0 } else { 0x100 }); // volume
        w.u16(0);
        MATRIX.iter().for_each(|&m| w.u32(m));
        let (width, height) = presentation_size(track);
        w.u32(width);
        w.u32(height);
    });
}

/// Width, stretched by the sample aspect ratio, and height, both 16.16; zero for audio.
fn presentation_size(track: &Track) -> (u32, u32) {
    let TrackMedia::Video { config, width, height, .. } = &track.media else { return (0, 0) };
    let (h, v) = config.picture_info().sample_aspect.unwrap_or((1, 1));
    let fixed = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (fixed((u64::from(*width) << 16) * u64::from(h) / u64::from(v.max(1))), fixed(u64::from(*height) << 16))
}

fn mdia(w: &mut BoxWriter, track: &Track, encryption: Option<&TrackEncryption>) {
    w.put_full_box(b"mdhd", 0, 0, |w| {
        w.zeros(8);
        w.u32(track.timescale.get());
        w.u32(0); // duration
        w.u16(LANGUAGE_UND);
        w.u16(0);
    });
    w.put_full_box(b"hdlr", 0, 0, |w| {
        w.u32(0);
        w.bytes(if track.is_video() { b"vide" } else { b"soun" });
        w.zeros(12);
        w.u8(0); // empty name
    });
    w.put_box(b"minf", |w| {
        if track.is_video() {
            w.put_full_box(b"vmhd", 0, 1, |w| w.zeros(8));
        } else {
            w.put_full_box(b"smhd", 0, 0, |w| w.zeros(4));
        }
        w.put_box(b"dinf", |w| {
            w.put_full_box(b"dref", 0, 0, |w| {
                w.u32(1);
                w.put_full_box(b"url ", 0, 1, |_| {}); // the media is in this file
            });
        });
        w.put_box(b"stbl", |w| {
            w.put_full_box(b"stsd", 0, 0, |w| {
                w.u32(1);
                sample_entry::put(w, track, encryption);
            });
            w.put_full_box(b"stts", 0, 0, |w| w.u32(0));
            w.put_full_box(b"stsc", 0, 0, |w| w.u32(0));
            w.put_full_box(b"stsz", 0, 0, |w| w.zeros(8));
            w.put_full_box(b"stco", 0, 0, |w| w.u32(0));
        });
    });
}
