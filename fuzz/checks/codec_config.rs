//! Codec configuration records and NAL units: no bytes make a parser panic, and a record made from its own parts is
//! the same.

use bytes::Bytes;
use millstream_media::codec::nal::{self, NalCodec, Strip};
use millstream_media::codec::{AacConfig, Av1Config, AvcConfig, HevcConfig, OpusConfig, VideoConfig};

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 256;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    if let Ok(c) = AvcConfig::parse(record.clone()) {
        let (sps, pps): (Vec<_>, Vec<_>) = (c.sps().collect(), c.pps().collect());
        if let Ok(made) = AvcConfig::from_parameter_sets(&sps, &pps) {
            assert!(made.sps().eq(sps) && made.pps().eq(pps));
            assert_eq!((made.width, made.height, made.picture_info()), (c.width, c.height, c.picture_info()));
        }
        ask(VideoConfig::Avc(c));
    }
    if let Ok(c) = HevcConfig::parse(record.clone()) {
        ask(VideoConfig::Hevc(c));
    }
    if let Ok(c) = Av1Config::parse(record.clone()) {
        if let Ok(made) = Av1Config::from_obus(&record[4..]) {
            assert_eq!((made.width, made.height), (c.width, c.height));
        }
        ask(VideoConfig::Av1(c));
    }
    if let Ok(c) = AacConfig::parse(record.clone()) {
        assert!(c.channels > 0 && c.frame_samples() > 0 && !c.rfc6381().is_empty());
    }
    let _ = OpusConfig::parse(record.clone());
    let _ = OpusConfig::from_opus_head(data);
    let _ = (AvcConfig::from_annexb(data), HevcConfig::from_annexb(data), Av1Config::from_obus(data));
    nal_units(&record);
}

fn ask(config: VideoConfig) {
    let (w, h) = config.dimensions();
    assert!(w > 0 && h > 0);
    let _ = (config.rfc6381(), config.picture_info(), config.nal_length_size());
}

fn nal_units(data: &Bytes) {
    for size in [1, 2, 4] {
        let _ = nal::is_random_access(data, size, NalCodec::Hevc);
        if let Ok(four) = nal::to_four_byte_lengths(data, size, NalCodec::Avc, Strip::ParameterSets) {
            assert!(nal::units(&four, 4).all(|n| n.is_ok()));
        }
    }
    if let Ok(prefixed) = nal::annexb_to_length_prefixed(data, NalCodec::Avc, Strip::Nothing) {
        let back = nal::length_prefixed_to_annexb(&prefixed, 4).unwrap();
        assert_eq!(
            nal::annexb_to_length_prefixed(&back, NalCodec::Avc, Strip::Nothing).ok(),
            Some(prefixed).filter(|p| !p.is_empty())
        );
    }
}
