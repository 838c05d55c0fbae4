//! Boxes of ISO/IEC 14496-12: walking them, and reads that cannot run over an end.

/// One box: its type, its body, and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Box<'a> {
    /// Four-character code.
    pub kind: [u8; 4],
    /// Offset of the box in what was walked, in bytes.
    pub start: usize,
    /// Offset after the box.
    pub end: usize,
    /// What follows its header.
    pub body: &'a [u8],
}

impl Box<'_> {
    /// Its type as text.
    pub fn name(&self) -> String {
        name(self.kind)
    }

    /// Whether it is of this type.
    pub fn is(&self, kind: &[u8; 4]) -> bool {
        &self.kind == kind
    }

    /// Version and flags of a full box.
    pub fn version_flags(&self) -> Option<(u8, u32)> {
        let word = be32(self.body, 0)?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }
}

/// A four-character code as text.
pub fn name(kind: [u8; 4]) -> String {
    kind.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' }).collect()
}

/// The boxes that lie one after the other in `bytes`.
///
/// # Errors
/// The offset at which no whole box lies.
pub fn boxes(bytes: &[u8]) -> Result<Vec<Box<'_>>, usize> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let small = be32(bytes, at).ok_or(at)?;
        let kind: [u8; 4] = bytes.get(at + 4..at + 8).and_then(|k| k.try_into().ok()).ok_or(at)?;
        let (header, size) = match small {
            0 => (8, bytes.len() - at),
            1 => (16, usize::try_from(be64(bytes, at + 8).ok_or(at)?).map_err(|_| at)?),
            n => (8, n as usize),
        };
        let end = at.checked_add(size).filter(|e| size >= header && *e <= bytes.len()).ok_or(at)?;
        let body = bytes.get(at + header..end).ok_or(at)?;
        out.push(Box { kind, start: at, end, body });
        at = end;
    }
    Ok(out)
}

/// The children of a plain container; none if they do not lie well.
pub fn children<'a>(parent: &Box<'a>) -> Vec<Box<'a>> {
    boxes(parent.body).unwrap_or_default()
}

/// The first child of a type.
pub fn child<'a>(parent: &Box<'a>, kind: &[u8; 4]) -> Option<Box<'a>> {
    children(parent).into_iter().find(|b| b.is(kind))
}

/// The box at the end of a path of types.
pub fn descend<'a>(from: &Box<'a>, path: &[&[u8; 4]]) -> Option<Box<'a>> {
    let mut at = *from;
    for kind in path {
        at = child(&at, kind)?;
    }
    Some(at)
}

/// Big-endian 16 bits.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Big-endian 32 bits.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Big-endian 64 bits.
pub fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// 32 or 64 bits, by the version of a full box.
pub fn be_by_version(bytes: &[u8], at: usize, version: u8) -> Option<u64> {
    if version == 1 { be64(bytes, at) } else { be32(bytes, at).map(u64::from) }
}
