//! Opus: the body of `dOps`, and Ogg's OpusHead from which some protocols make it.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, bounded};

/// Opus: the body of `dOps` ("Encapsulation of Opus in ISO Base Media File Format" 4.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// The `dOps` body.
    pub record: Bytes,
    /// Channels.
    pub channels: u8,
}

/// Bytes of the body before the channel mapping table.
const HEAD_BYTES: usize = 11;

impl OpusConfig {
    /// Reads a `dOps` body.
    ///
    /// # Errors
    /// [`Error`] if it is none.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        bounded(&record)?;
        let head = record.first_chunk::<HEAD_BYTES>().ok_or(Error::Truncated { what: "dOps" })?;
        if head[0] != 0 {
            return Err(Error::Invalid { field: "dOps version", value: u64::from(head[0]) });
        }
        let (channels, family) = (head[1], head[10]);
        if channels == 0 || (family == 0 && channels > 2) {
            return Err(Error::Invalid { field: "channels", value: u64::from(channels) });
        }
        if family != 0 && record.len() < HEAD_BYTES + 2 + usize::from(channels) {
            return Err(Error::Truncated { what: "the channel mapping table" });
        }
        Ok(OpusConfig { channels, record })
    }

    /// Mono or stereo, `pre_skip` in samples at 48 kHz, `input_rate` the rate before encoding (for information).
    ///
    /// # Errors
    /// [`Error`] for another number of channels.
    pub fn new(channels: u8, pre_skip: u16, input_rate: u32) -> Result<Self, Error> {
        let mut out = BytesMut::with_capacity(HEAD_BYTES);
        out.put_slice(&[0, channels]);
        out.put_u16(pre_skip);
        out.put_u32(input_rate);
        out.put_slice(&[0, 0, 0]);
        OpusConfig::parse(out.freeze())
    }

    /// From Ogg's identification header, which Enhanced RTMP and FFmpeg carry (RFC 7845 5.1): the same fields, little
    /// endian and behind a magic signature.
    ///
    /// # Errors
    /// [`Error`] if it is none.
    pub fn from_opus_head(head: &[u8]) -> Result<Self, Error> {
        let rest = head.strip_prefix(b"OpusHead").ok_or(Error::Missing { what: "OpusHead signature" })?;
        let (fixed, table) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Truncated { what: "OpusHead" })?;
        let [version, channels, skip0, skip1, r0, r1, r2, r3, gain0, gain1, family] = *fixed;
        if version > 15 {
            return Err(Error::Invalid { field: "OpusHead version", value: u64::from(version) });
        }
        let mut out = BytesMut::with_capacity(rest.len());
        out.put_slice(&[0, channels, skip1, skip0, r3, r2, r1, r0, gain1, gain0, family]);
        out.put_slice(table);
        OpusConfig::parse(out.freeze())
    }

    /// Samples at 48 kHz to throw away at the start of the stream.
    pub fn pre_skip(&self) -> u16 {
        self.record.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_head_becomes_dops() {
        let config = OpusConfig::from_opus_head(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0").unwrap();
        assert_eq!(config, OpusConfig::new(2, 312, 48_000).unwrap());
        assert_eq!(config.pre_skip(), 312);
        assert_eq!(&config.record[..], b"\0\x02\x01\x38\0\0\xbb\x80\0\0\0");
    }

    #[test]
    fn what_is_refused() {
        assert!(OpusConfig::new(3, 0, 48_000).is_err());
        assert!(OpusConfig::parse(Bytes::from_static(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 0])).is_err());
        assert!(OpusConfig::parse(Bytes::from_static(&[0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 2, 0])).is_err());
        assert!(OpusConfig::parse(Bytes::from_static(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0])).is_err());
    }
}
