//! A request's body to CMAF headers and fragments, as its bytes come (STANDARDS 4.1, 4.2): one segment, its chunks one
//! by one, several segments, or a stream without an end.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use millstream_media::cmaf::FourCc;
use millstream_media::cmaf::read::{BoxHeader, ErrorKind};

/// Bytes a header may have.
pub const MAX_HEADER: usize = 1 << 20;

/// A whole thing of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `ftyp` and `moov`.
    Header(Bytes),
    /// `moof` and `mdat`, with the boxes before them.
    Fragment {
        /// Their bytes.
        bytes: Bytes,
        /// A segment begins here: it is the first of the body, or has `styp` before it.
        starts: bool,
    },
}

/// Why a body is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No CMAF at all.
    #[error("this is no CMAF: a box of type {0} has no place here")]
    Box(FourCc),
    /// A size that cannot be.
    #[error("this is no CMAF: {0}")]
    Size(ErrorKind),
    /// Over the limit.
    #[error("a fragment of more than {most} bytes; send shorter fragments")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// The body ended in the middle.
    #[error("the body ends in the middle of a box")]
    CutOff,
}

/// Splits a body.
#[derive(Debug)]
pub struct Splitter {
    /// Bytes since the end of the last whole item.
    buffer: BytesMut,
    /// Bytes of it that are whole boxes.
    whole: usize,
    /// An `ftyp` is among them.
    in_header: bool,
    /// A `styp` is among them.
    styp: bool,
    /// A `moof` is among them: an `mdat` follows.
    moof: bool,
    /// No fragment has come.
    fresh: bool,
    most: usize,
    items: VecDeque<Item>,
}

impl Splitter {
    /// A splitter at a body's beginning that takes fragments of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Splitter {
            buffer: BytesMut::new(),
            whole: 0,
            in_header: false,
            styp: false,
            moof: false,
            fresh: true,
            most,
            items: VecDeque::new(),
        }
    }

    /// Takes bytes in.
    ///
    /// # Errors
    /// [`Error`]; the body is over then.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(data);
        loop {
            let rest = self.buffer.get(self.whole..).unwrap_or_default();
            let Some(header) = BoxHeader::parse(rest).map_err(Error::Size)? else { break };
            self.admit(header.kind)?;
            // A box that goes on to the end of a body without an end would never be whole.
            let size = header.size.ok_or(Error::Size(ErrorKind::BoxSize(header.kind)))?;
            let most = if self.in_header { MAX_HEADER.min(self.most) } else { self.most };
            let end = usize::try_from(size).ok().and_then(|size| self.whole.checked_add(size));
            let end = end.filter(|end| *end <= most).ok_or(Error::TooLarge { most })?;
            if rest.len() < end - self.whole {
                break;
            }
            self.whole = end;
            self.take(header.kind);
        }
        Ok(())
    }

    /// The next whole item.
    pub fn poll(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// The body is over.
    ///
    /// # Errors
    /// [`Error::CutOff`].
    pub fn finish(&self) -> Result<(), Error> {
        // An outdated sign of the end, `mfra`, leaves whole boxes behind (STANDARDS 4.13).
        let cut = self.buffer.len() > self.whole || self.moof || self.in_header;
        if cut { Err(Error::CutOff) } else { Ok(()) }
    }

    /// Whether a box may stand here: something that is no CMAF is known by its first eight bytes.
    fn admit(&self, kind: FourCc) -> Result<(), Error> {
        let fits = match &kind.0 {
            b"ftyp" => self.whole == 0,
            b"moov" => self.in_header && !self.moof,
            b"mdat" => self.moof,
            b"moof" => !self.in_header && !self.moof,
            b"styp" | b"prft" | b"emsg" | b"sidx" | b"mfra" => !self.in_header && !self.moof,
            b"free" | b"skip" | b"uuid" | b"meta" | b"pssh" | b"pdin" => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(Error::Box(kind)) }
    }

    fn take(&mut self, kind: FourCc) {
        match &kind.0 {
            b"ftyp" => self.in_header = true,
            b"styp" => self.styp = true,
            b"moof" => self.moof = true,
            b"moov" => {
                let bytes = self.cut();
                self.items.push_back(Item::Header(bytes));
            }
            b"mdat" => {
                let starts = self.styp || self.fresh;
                self.fresh = false;
                let bytes = self.cut();
                self.items.push_back(Item::Fragment { bytes, starts });
            }
            b"mfra" => drop(self.cut()),
            _ => {}
        }
    }

    fn cut(&mut self) -> Bytes {
        (self.in_header, self.styp, self.moof) = (false, false, false);
        self.buffer.split_to(std::mem::take(&mut self.whole)).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(kind: &[u8; 4], bytes: usize) -> Vec<u8> {
        let mut out = ((bytes + 8) as u32).to_be_bytes().to_vec();
        out.extend_from_slice(kind);
        out.extend(std::iter::repeat_n(7, bytes));
        out
    }

    fn body() -> Vec<u8> {
        let boxes: [(&[u8; 4], usize); 11] = [
            (b"ftyp", 16),
            (b"moov", 300),
            (b"styp", 16),
            (b"prft", 24),
            (b"moof", 100),
            (b"mdat", 500),
            (b"moof", 90),
            (b"mdat", 400),
            (b"styp", 16),
            (b"moof", 80),
            (b"mdat", 0),
        ];
        boxes.iter().flat_map(|(kind, bytes)| put(kind, *bytes)).collect()
    }

    fn split(pieces: &[&[u8]]) -> Result<Vec<Item>, Error> {
        let mut splitter = Splitter::new(4096);
        let mut items = Vec::new();
        for piece in pieces {
            splitter.push(piece)?;
            items.extend(std::iter::from_fn(|| splitter.poll()));
        }
        splitter.finish().map(|()| items)
    }

    #[test]
    fn a_header_and_segments_in_one_body_come_apart() {
        let items = split(&[&body()]).unwrap();
        let shape: Vec<(usize, Option<bool>)> = items
            .iter()
            .map(|item| match item {
                Item::Header(bytes) => (bytes.len(), None),
                Item::Fragment { bytes, starts } => (bytes.len(), Some(*starts)),
            })
            .collect();
        assert_eq!(
            shape,
            [(332, None), (672, Some(true)), (506, Some(false)), (120, Some(true))],
            "the second chunk of a segment starts none"
        );
    }

    #[test]
    fn garbage_is_known_by_its_first_bytes() {
        let mut splitter = Splitter::new(4096);
        assert!(matches!(splitter.push(b"GET / HTTP/1.1"), Err(Error::Box(_) | Error::TooLarge { .. })));
        assert_eq!(split(&[&put(b"mdat", 8)]), Err(Error::Box(FourCc(*b"mdat"))));
        assert_eq!(split(&[&put(b"moof", 5000)]), Err(Error::TooLarge { most: 4096 }));
        assert_eq!(
            split(&[&[0, 0, 0, 0, b'm', b'o', b'o', b'f']]),
            Err(Error::Size(ErrorKind::BoxSize(FourCc(*b"moof"))))
        );
        assert_eq!(split(&[&put(b"moof", 20)]), Err(Error::CutOff));
        assert_eq!(split(&[&put(b"mfra", 20)]), Ok(Vec::new()), "STANDARDS 4.13");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(sizes in prop::collection::vec(1usize..400, 1..40)) {
            let body = body();
            let mut rest = body.as_slice();
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(split(&pieces), split(&[&body]));
        }

        #[test]
        fn no_bytes_make_it_hold_more_than_its_limit(data in prop::collection::vec(any::<u8>(), 0..6000)) {
            let mut splitter = Splitter::new(1024);
            for piece in data.chunks(100) {
                if splitter.push(piece).is_err() {
                    return Ok(());
                }
                prop_assert!(splitter.buffer.len() <= 1024 + 64 + 100);
            }
        }
    }
}
