//! Sample entries: avc1, hvc1, av01, mp4a and Opus, with what is known of colour, aspect and bit rate.

use super::boxes::BoxWriter;
use crate::codec::{AacConfig, AudioConfig, VideoConfig};
use crate::protection::{Scheme, TrackEncryption};
use crate::track::{Track, TrackMedia};

/// Writes the track's sample entry; with `encryption`, as `encv` or `enca`.
pub(super) fn put(w: &mut BoxWriter, track: &Track, encryption: Option<&TrackEncryption>) {
    match &track.media {
        TrackMedia::Video { config, width, height, .. } => put_video(w, track, config, (*width, *height), encryption),
        TrackMedia::Audio { config } => {
            let clear = match config {
                AudioConfig::Aac(_) => b"mp4a",
                AudioConfig::Opus(_) => b"Opus",
            };
            w.put_box(encryption.map_or(clear, |_| b"enca"), |w| {
                match config {
                    AudioConfig::Aac(aac) => {
                        put_audio_head(w, aac.channels, aac.sample_rate);
                        w.put_full_box(b"esds", 0, 0, |w| w.bytes(&es_descriptor(aac, track.bit_rate)));
                    }
                    AudioConfig::Opus(opus) => {
                        put_audio_head(w, opus.channels, 48_000);
                        w.put_box(b"dOps", |w| w.bytes(&opus.record));
                    }
                }
                put_bit_rate(w, track);
                put_protection(w, clear, encryption);
            });
        }
    }
}

/// `sinf` with the sample entry that decryption gives back, the scheme and the defaults of all samples
/// (ISO/IEC 23001-7 8.2; STANDARDS 3.17).
fn put_protection(w: &mut BoxWriter, clear: &[u8; 4], encryption: Option<&TrackEncryption>) {
    let Some(encryption) = encryption else { return };
    w.put_box(b"sinf", |w| {
        w.put_box(b"frma", |w| w.bytes(clear));
        w.put_full_box(b"schm", 0, 0, |w| {
            w.bytes(&encryption.scheme.four_cc());
            w.u32(0x1_0000); // scheme_version
        });
        w.put_box(b"schi", |w| {
            let version = u8::from(encryption.scheme == Scheme::Cbcs);
            w.put_full_box(b"tenc", version, 0, |w| {
                w.u8(0);
                let (crypt, skip) = encryption.pattern;
                w.u8(if version == 0 { 0 } else { (crypt & 0xf) << 4 | skip & 0xf });
                w.u8(1); // default_isProtected
                w.u8(if encryption.constant_iv.is_some() { 0 } else { 8 }); // default_Per_Sample_IV_Size
                w.bytes(&encryption.key_id.0);
                if let Some(iv) = &encryption.constant_iv {
                    w.u8(16);
                    w.bytes(iv);
                }
            });
        });
    });
}

fn put_video(
    w: &mut BoxWriter,
    track: &Track,
    config: &VideoConfig,
    (width, height): (u32, u32),
    encryption: Option<&TrackEncryption>,
) {
    let (entry, record_box, record) = match config {
        VideoConfig::Avc(c) => (b"avc1", b"avcC", c.with_four_byte_lengths().record),
        VideoConfig::Hevc(c) => (b"hvc1", b"hvcC", c.with_four_byte_lengths().record),
        VideoConfig::Av1(c) => (b"av01", b"av1C", c.record.clone()),
    };
    w.put_box(encryption.map_or(entry, |_| b"encv"), |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.zeros(16);
        w.u16(u16::try_from(width).unwrap_or(u16::MAX));
        w.u16(u16::try_from(height).unwrap_or(u16::MAX));
        w.u32(0x48_0000); // 72 dpi
        w.u32(0x48_0000);
        w.u32(0);
        w.u16(1); // frame_count
        w.zeros(32); // compressorname
        w.u16(0x18); // depth
        w.u16(0xffff);
        w.put_box(record_box, |w| w.bytes(&record));
        let picture = config.picture_info();
        if let Some(c) = picture.colour {
            w.put_box(b"colr", |w| {
                w.bytes(b"nclx");
                w.u16(c.primaries.into());
                w.u16(c.transfer.into());
                w.u16(c.matrix.into());
                w.u8(if c.full_range { 0x80 } else { 0 });
            });
        }
        if let Some((h, v)) = picture.sample_aspect {
            w.put_box(b"pasp", |w| {
                w.u32(h.into());
                w.u32(v.into());
            });
        }
        put_bit_rate(w, track);
        put_protection(w, entry, encryption);
    });
}

fn put_audio_head(w: &mut BoxWriter, channels: u8, sample_rate: u32) {
    w.zeros(6);
    w.u16(1); // data_reference_index
    w.zeros(8);
    w.u16(channels.into());
    w.u16(16); // samplesize
    w.zeros(4);
    // 16.16; a rate that does not fit is said by the decoder configuration alone.
    w.u32(if sample_rate <= 0xffff { sample_rate << 16 } else { 0 });
}

/// `btrt`, where the bit rate is known: a buffer of one second, peaks a tenth above the mean.
fn put_bit_rate(w: &mut BoxWriter, track: &Track) {
    if track.bit_rate == 0 {
        return;
    }
    w.put_box(b"btrt", |w| {
        w.u32(track.bit_rate / 8);
        w.u32(peak(track));
        w.u32(track.bit_rate);
    });
}

/// The highest bit rate: video is encoded with a VBV rate of 1.1 times its target.
fn peak(track: &Track) -> u32 {
    if track.is_video() { track.bit_rate.saturating_add(track.bit_rate / 10) } else { track.bit_rate }
}

/// The ES_Descriptor of an MPEG-4 audio stream (ISO/IEC 14496-1 7.2.6.5).
fn es_descriptor(aac: &AacConfig, bit_rate: u32) -> Vec<u8> {
    let decoder_specific = descriptor(5, &aac.asc);
    let mut config = vec![0x40, 0x15, 0, 0, 0]; // MPEG-4 audio, audio stream, bufferSizeDB unknown
    config.extend_from_slice(&bit_rate.to_be_bytes()); // maxBitrate
    config.extend_from_slice(&bit_rate.to_be_bytes()); // avgBitrate
    config.extend_from_slice(&decoder_specific);
    let mut stream = vec![0, 0, 0]; // ES_ID 0, no dependency, URL or clock stream
    stream.extend_from_slice(&descriptor(4, &config));
    stream.extend_from_slice(&descriptor(6, &[2])); // SLConfig, predefined for MP4 files
    descriptor(3, &stream)
}

/// A descriptor: its tag, its size in groups of 7 bits, its body.
fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    for shift in [21, 14, 7] {
        if body.len() >> shift != 0 {
            out.push((body.len() >> shift) as u8 & 0x7f | 0x80);
        }
    }
    out.push(body.len() as u8 & 0x7f);
    out.extend_from_slice(body);
    out
}
