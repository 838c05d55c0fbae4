//! AAC: the AudioSpecificConfig, read and made.

use bytes::Bytes;

use super::bits::BitReader;
use super::{Error, bounded};

/// AAC: an AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The AudioSpecificConfig bytes.
    pub asc: Bytes,
    /// Audio object type: 2 = AAC-LC, 5 = HE-AAC (SBR), 29 = HE-AAC v2 (PS).
    pub object_type: u8,
    /// Samples per second of the decoded sound: for HE-AAC twice the core's rate.
    pub sample_rate: u32,
    /// Channels of the decoded sound: for HE-AAC v2 two.
    pub channels: u8,
}

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

const LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;

impl AacConfig {
    /// Reads an AudioSpecificConfig: the object types Main, LC, SSR and LTP, alone or as the core of SBR and PS.
    ///
    /// # Errors
    /// [`Error`] for anything else, for channel configuration 0 (the channels are then in the stream), and for sample
    /// rates outside 7,350 to 96,000.
    pub fn parse(asc: Bytes) -> Result<Self, Error> {
        bounded(&asc)?;
        let r = &mut BitReader::new(&asc, "the AudioSpecificConfig");
        let mut object_type = read_object_type(r)?;
        let mut sample_rate = read_sample_rate(r)?;
        let channel_configuration = r.bits(4)? as u8;
        let mut extension = None;
        if object_type == SBR || object_type == PS {
            extension = Some(object_type);
            sample_rate = read_sample_rate(r)?;
            object_type = read_object_type(r)?;
        }
        if !(1..=4).contains(&object_type) {
            return Err(Error::Unsupported { what: "audio object type", value: u64::from(object_type) });
        }
        skip_ga_specific_config(r)?;
        if extension.is_none()
            && let Some((object, rate)) = read_sync_extension(r)
        {
            extension = Some(object);
            sample_rate = rate;
        }
        let mut channels = channel_count(channel_configuration)?;
        if extension == Some(PS) && channels == 1 {
            channels = 2;
        }
        Ok(AacConfig { object_type: extension.unwrap_or(object_type), sample_rate, channels, asc })
    }

    /// The configuration of AAC-LC with frames of 1024 samples.
    ///
    /// # Errors
    /// [`Error`] unless there are 1 to 6 or 8 channels and 7,350 to 96,000 samples per second.
    pub fn lc(sample_rate: u32, channels: u8) -> Result<Self, Error> {
        let configuration = match channels {
            1..=6 => channels,
            8 => 7,
            _ => return Err(Error::Invalid { field: "channels", value: u64::from(channels) }),
        };
        let asc = match SAMPLE_RATES.iter().position(|&r| r == sample_rate) {
            Some(index) => {
                let bits = u16::from(LC) << 11 | (index as u16) << 7 | u16::from(configuration) << 3;
                Bytes::copy_from_slice(&bits.to_be_bytes())
            }
            None => {
                let bits = u64::from(LC) << 35 | 15 << 31 | u64::from(sample_rate) << 7 | u64::from(configuration) << 3;
                Bytes::copy_from_slice(&bits.to_be_bytes()[3..])
            }
        };
        AacConfig::parse(asc)
    }

    /// Samples of decoded sound in one access unit: 1024 or 960, for HE-AAC twice as many.
    pub fn frame_samples(&self) -> u32 {
        let core = if self.short_frames().unwrap_or(false) { 960 } else { 1024 };
        if matches!(self.object_type, SBR | PS) { 2 * core } else { core }
    }

    /// RFC 6381: `mp4a.40.` and the audio object type.
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }

    /// `frameLengthFlag`.
    fn short_frames(&self) -> Result<bool, Error> {
        let r = &mut BitReader::new(&self.asc, "the AudioSpecificConfig");
        let object_type = read_object_type(r)?;
        read_sample_rate(r)?;
        r.skip(4)?;
        if object_type == SBR || object_type == PS {
            read_sample_rate(r)?;
            read_object_type(r)?;
        }
        r.flag()
    }
}

fn read_object_type(r: &mut BitReader<'_>) -> Result<u8, Error> {
    Ok(match r.bits(5)? {
        31 => 32 + r.bits(6)? as u8,
        t => t as u8,
    })
}

fn read_sample_rate(r: &mut BitReader<'_>) -> Result<u32, Error> {
    let index = r.bits(4)?;
    let rate = if index == 15 { r.bits(24)? } else { SAMPLE_RATES.get(index as usize).copied().unwrap_or(0) };
    if (7_350..=96_000).contains(&rate) {
        Ok(rate)
    } else {
        Err(Error::Invalid { field: "sample rate", value: u64::from(if index == 15 { rate } else { index }) })
    }
}

fn channel_count(configuration: u8) -> Result<u8, Error> {
    match configuration {
        1..=6 => Ok(configuration),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        _ => Err(Error::Invalid { field: "channel configuration", value: u64::from(configuration) }),
    }
}

fn skip_ga_specific_config(r: &mut BitReader<'_>) -> Result<(), Error> {
    r.skip(1)?; // frameLengthFlag
    if r.flag()? {
        r.skip(14)?; // coreCoderDelay
    }
    r.skip(1) // extensionFlag: nothing follows it for these object types
}

/// SBR and PS signalled behind the core's configuration, where older decoders pass over them.
fn read_sync_extension(r: &mut BitReader<'_>) -> Option<(u8, u32)> {
    if r.bits(11).ok()? != 0x2b7 || read_object_type(r).ok()? != SBR || !r.flag().ok()? {
        return None;
    }
    let rate = read_sample_rate(r).ok()?;
    let ps = r.bits(11).is_ok_and(|s| s == 0x548) && r.flag().unwrap_or(false);
    Some((if ps { PS } else { SBR }, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(asc: &[u8]) -> Result<(u8, u32, u8, u32), Error> {
        AacConfig::parse(Bytes::copy_from_slice(asc))
            .map(|c| (c.object_type, c.sample_rate, c.channels, c.frame_samples()))
    }

    #[test]
    fn configurations_from_the_field() {
        for (name, asc, want) in [
            ("OBS, 48 kHz stereo", &[0x11, 0x90, 0x56, 0xe5, 0x00][..], (2, 48_000, 2, 1024)),
            ("ffmpeg, 44.1 kHz mono", &[0x12, 0x08], (2, 44_100, 1, 1024)),
            ("5.1", &[0x11, 0xb0], (2, 48_000, 6, 1024)),
            ("HE-AAC, explicit", &[0x2b, 0x11, 0x88, 0x00], (5, 48_000, 2, 2048)),
            ("HE-AAC v2, explicit", &[0xeb, 0x09, 0x88, 0x00], (29, 48_000, 2, 2048)),
            ("HE-AAC, behind the core", &[0x13, 0x10, 0x56, 0xe5, 0x98], (5, 48_000, 2, 2048)),
        ] {
            assert_eq!(facts(asc), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(facts(&[0x11]), Err(Error::Truncated { what: "the AudioSpecificConfig" }));
        assert_eq!(facts(&[0x11, 0x80]), Err(Error::Invalid { field: "channel configuration", value: 0 }));
        assert_eq!(facts(&[0x16, 0x90]), Err(Error::Invalid { field: "sample rate", value: 13 }));
        assert_eq!(facts(&[0xf9, 0x46, 0x40]), Err(Error::Unsupported { what: "audio object type", value: 42 }));
        assert!(AacConfig::lc(48_000, 7).is_err() && AacConfig::lc(192_000, 2).is_err());
    }

    #[test]
    fn lc_round_trips() {
        for (rate, channels) in [(48_000, 2), (44_100, 1), (7_350, 6), (96_000, 8), (47_999, 2)] {
            let c = AacConfig::lc(rate, channels).unwrap();
            assert_eq!((c.object_type, c.sample_rate, c.channels), (2, rate, channels));
            assert_eq!(c.rfc6381(), "mp4a.40.2");
        }
        assert_eq!(&AacConfig::lc(48_000, 2).unwrap().asc[..], [0x11, 0x90]);
    }
}
