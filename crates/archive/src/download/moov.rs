//! `ftyp` and `moov` of a progressive file (ISO/IEC 14496-12), in front of its media data. Pure.
//!
//! What describes a track (header, handler, sample descriptions) is taken from its init segments as it is.

use millstream_media::time::Timescale;

use super::tables::{Tables, child, header};

/// Ticks per second of the movie's own times.
const MOVIE_SCALE: u64 = 90_000;

/// A track of the file.
pub struct Track<'a> {
    /// Ticks per second.
    pub timescale: Timescale,
    /// Init segments, one for each sample description, in their order.
    pub inits: Vec<&'a [u8]>,
    /// Its samples.
    pub tables: &'a Tables,
}

/// The file up to the first byte of media data, of which `media_bytes` follow. `None` if an init segment makes no sense.
pub fn head(tracks: &[Track<'_>], media_bytes: u64) -> Option<Vec<u8>> {
    let mut ftyp = Vec::new();
    put(&mut ftyp, b"ftyp", |out| out.extend_from_slice(b"isom\0\0\0\x01isomiso6mp41"));
    // Its length does not depend on the offsets in it.
    let first = moov(tracks, 0)?;
    let before = ftyp.len() as u64 + first.len() as u64 + 16;
    let mut out = ftyp;
    out.extend_from_slice(&moov(tracks, before)?);
    out.extend_from_slice(&1_u32.to_be_bytes());
    out.extend_from_slice(b"mdat");
    out.extend_from_slice(&(media_bytes + 16).to_be_bytes());
    Some(out)
}

fn moov(tracks: &[Track<'_>], before: u64) -> Option<Vec<u8>> {
    let nanos = |track: &Track<'_>, ticks: u64| u128::from(ticks) * 1_000_000_000 / u128::from(track.timescale.get());
    let starts = tracks.iter().filter_map(|t| Some(nanos(t, t.tables.start?)));
    let zero = starts.min().unwrap_or(0);
    let movie = |nanos: u128| u64::try_from(nanos * u128::from(MOVIE_SCALE) / 1_000_000_000).unwrap_or(0);
    let lies: Vec<(u64, u64)> = tracks
        .iter()
        .map(|t| {
            let start = t.tables.start.map_or(0, |s| nanos(t, s) - zero);
            (movie(start), movie(nanos(t, t.tables.length)))
        })
        .collect();
    let duration = lies.iter().map(|(start, length)| start + length).max().unwrap_or(0);
    let mut body = Vec::new();
    full(&mut body, b"mvhd", 1, 0, |out| {
        out.extend_from_slice(&[0; 16]);
        u32s(out, &[MOVIE_SCALE as u32]);
        out.extend_from_slice(&duration.to_be_bytes());
        u32s(out, &[0x0001_0000, 0x0100_0000, 0, 0]);
        u32s(out, &MATRIX);
        u32s(out, &[0; 6]);
        u32s(out, &[u32::try_from(tracks.len()).unwrap_or(0) + 1]);
    });
    for (i, (track, (start, length))) in tracks.iter().zip(&lies).enumerate() {
        let bytes = trak(track, u32::try_from(i).ok()? + 1, *start, *length, before)?;
        put(&mut body, b"trak", |out| out.extend_from_slice(&bytes));
    }
    let mut out = Vec::with_capacity(body.len() + 8);
    put(&mut out, b"moov", |out| out.extend_from_slice(&body));
    Some(out)
}

const MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

fn trak(track: &Track<'_>, id: u32, start: u64, length: u64, before: u64) -> Option<Vec<u8>> {
    let first = child(child(track.inits.first()?, b"moov")?, b"trak")?;
    let mdia = child(first, b"mdia")?;
    let minf = child(mdia, b"minf")?;
    let is_video = child(minf, b"vmhd").is_some();
    // Width and height are the last eight bytes of a track's header, whatever its version.
    let size = child(first, b"tkhd").and_then(|t| t.last_chunk::<8>())?;
    let mut out = Vec::new();
    full(&mut out, b"tkhd", 1, 3, |out| {
        out.extend_from_slice(&[0; 16]);
        u32s(out, &[id, 0]);
        out.extend_from_slice(&(start + length).to_be_bytes());
        u32s(out, &[0, 0, 0, if is_video { 0 } else { 0x0100_0000 }]);
        u32s(out, &MATRIX);
        out.extend_from_slice(size);
    });
    put(&mut out, b"edts", |out| {
        full(out, b"elst", 1, 0, |out| {
            let empty = (start > 0).then_some((start, -1_i64));
            let edits: Vec<(u64, i64)> = empty.into_iter().chain([(length, 0)]).collect();
            u32s(out, &[u32::try_from(edits.len()).unwrap_or(0)]);
            for (length, media) in edits {
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&media.to_be_bytes());
                u32s(out, &[0x0001_0000]);
            }
        });
    });
    let language = child(mdia, b"mdhd").and_then(|b| b.get(b.len().checked_sub(4)?..)).unwrap_or(&[0x55, 0xc4, 0, 0]);
    let hdlr = child(mdia, b"hdlr")?;
    let mut media = Vec::new();
    full(&mut media, b"mdhd", 1, 0, |out| {
        out.extend_from_slice(&[0; 16]);
        u32s(out, &[track.timescale.get()]);
        out.extend_from_slice(&track.tables.length.to_be_bytes());
        out.extend_from_slice(language);
    });
    put(&mut media, b"hdlr", |out| out.extend_from_slice(hdlr));
    let mut info = Vec::new();
    for kind in [b"vmhd", b"smhd", b"dinf"] {
        if let Some(body) = child(minf, kind) {
            put(&mut info, kind, |out| out.extend_from_slice(body));
        }
    }
    let stbl = stbl(track, is_video, before)?;
    put(&mut info, b"stbl", |out| out.extend_from_slice(&stbl));
    put(&mut media, b"minf", |out| out.extend_from_slice(&info));
    put(&mut out, b"mdia", |out| out.extend_from_slice(&media));
    Some(out)
}

fn stbl(track: &Track<'_>, is_video: bool, before: u64) -> Option<Vec<u8>> {
    let tables = track.tables;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut entries = Vec::new();
    for init in &track.inits {
        let path = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];
        let stsd = path.iter().try_fold(*init, |at, kind| child(at, kind))?;
        let entry = stsd.get(8..)?;
        let (size, _) = header(entry)?;
        entries.extend_from_slice(entry.get(..usize::try_from(size).ok()?)?);
    }
    let mut out = Vec::with_capacity(tables.sizes.len() * 5 + tables.chunks.len() * 8);
    full(&mut out, b"stsd", 0, 0, |out| {
        u32s(out, &[count(track.inits.len())]);
        out.extend_from_slice(&entries);
    });
    full(&mut out, b"stts", 0, 0, |out| {
        u32s(out, &[count(tables.durations.0.len())]);
        tables.durations.0.iter().for_each(|(n, ticks)| u32s(out, &[*n, *ticks]));
    });
    if tables.offsets.0.iter().any(|(_, offset)| *offset != 0) {
        full(&mut out, b"ctts", 1, 0, |out| {
            u32s(out, &[count(tables.offsets.0.len())]);
            tables.offsets.0.iter().for_each(|(n, ticks)| u32s(out, &[*n, *ticks]));
        });
    }
    if is_video {
        full(&mut out, b"stss", 0, 0, |out| {
            u32s(out, &[count(tables.keys.len())]);
            u32s(out, &tables.keys);
        });
    }
    full(&mut out, b"stsc", 0, 0, |out| {
        let mut runs: Vec<[u32; 3]> = Vec::new();
        for (i, (_, samples, description)) in tables.chunks.iter().enumerate() {
            if runs.last().is_none_or(|[_, s, d]| (s, d) != (samples, description)) {
                runs.push([count(i) + 1, *samples, *description]);
            }
        }
        u32s(out, &[count(runs.len())]);
        runs.iter().for_each(|run| u32s(out, run));
    });
    full(&mut out, b"stsz", 0, 0, |out| {
        u32s(out, &[0, count(tables.sizes.len())]);
        u32s(out, &tables.sizes);
    });
    full(&mut out, b"co64", 0, 0, |out| {
        u32s(out, &[count(tables.chunks.len())]);
        tables.chunks.iter().for_each(|(at, _, _)| out.extend_from_slice(&(at + before).to_be_bytes()));
    });
    Some(out)
}

fn put(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&size);
    }
}

fn full(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Vec<u8>)) {
    put(out, kind, |out| {
        u32s(out, &[u32::from(version) << 24 | flags]);
        body(out);
    });
}

fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_be_bytes()));
}
