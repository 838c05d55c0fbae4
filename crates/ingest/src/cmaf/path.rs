//! The objects below a publishing point (STANDARDS 4.3 to 4.5).
//!
//! Which of a track's objects a path names does not matter: a body says itself whether it is a CMAF header or media. So
//! a path comes down to its track, or to something that is taken and not used.

use millstream_media::track::RenditionName;

/// What a path below `/ingest/CHANNEL/` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A header or media of a video or audio track.
    Track(RenditionName),
    /// Of a track of text or of timed metadata (`.cmft`, `.cmfm`): taken, not used.
    Sparse,
    /// A manifest (`.mpd`, `.m3u8`): taken, not used; ours are made from the media.
    Manifest,
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None of the forms.
    #[error(
        "no such object; use Streams(NAME.cmfv), Streams(NAME.cmfv)/Segment(N), NAME/init.cmfv, NAME/N.cmfv or \
         init-streamN.m4s and chunk-streamN-NUMBER.m4s"
    )]
    Form,
    /// A track's name without a letter or digit.
    #[error("a track's name needs a letter or a digit")]
    Name,
}

/// Reads a path, percent-encoding undone, without the slash before it.
///
/// # Errors
/// [`Error`].
pub fn parse(path: &str) -> Result<Object, Error> {
    let parts: Vec<&str> = path.split('/').collect();
    // An outdated prefix that groups the tracks of a switching set.
    let parts = match parts.as_slice() {
        [first, rest @ ..] if inside(first, "Switching(").is_some() && !rest.is_empty() => rest,
        all => all,
    };
    match parts {
        [stream] if inside(stream, "Streams(").is_some() => of_file(inside(stream, "Streams(").unwrap_or_default()),
        [stream, object] if inside(stream, "Streams(").is_some() => {
            let number = inside(object, "Segment(");
            let named = number.is_some_and(is_number) || *object == "InitializationSegment";
            if named { of_file(inside(stream, "Streams(").unwrap_or_default()) } else { Err(Error::Form) }
        }
        [name, file] => {
            let (stem, extension) = file.rsplit_once('.').ok_or(Error::Form)?;
            if stem != "init" && !is_number(stem) { Err(Error::Form) } else { of_track(name, extension) }
        }
        [file] => alone(file),
        _ => Err(Error::Form),
    }
}

/// A file directly below the publishing point: a manifest, or one as ffmpeg's DASH muxer names them.
fn alone(file: &str) -> Result<Object, Error> {
    let (stem, extension) = file.rsplit_once('.').ok_or(Error::Form)?;
    if matches!(extension, "mpd" | "m3u8") {
        return Ok(Object::Manifest);
    }
    if let Some(name) = stem.strip_prefix("init-") {
        return of_track(name, extension);
    }
    let (name, number) = stem.strip_prefix("chunk-").and_then(|rest| rest.rsplit_once('-')).ok_or(Error::Form)?;
    if is_number(number) { of_track(name, extension) } else { Err(Error::Form) }
}

/// The text between `open` and the closing bracket.
fn inside<'a>(part: &'a str, open: &str) -> Option<&'a str> {
    part.strip_prefix(open)?.strip_suffix(')')
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn of_file(file: &str) -> Result<Object, Error> {
    let (name, extension) = file.rsplit_once('.').ok_or(Error::Form)?;
    of_track(name, extension)
}

fn of_track(name: &str, extension: &str) -> Result<Object, Error> {
    match extension {
        "cmfv" | "cmfa" | "m4s" | "mp4" | "m4v" | "m4a" => rendition(name).map(Object::Track).ok_or(Error::Name),
        "cmft" | "cmfm" => Ok(Object::Sparse),
        _ => Err(Error::Form),
    }
}

/// A track's name as ours may be: lower case, `-` for what we do not use, 32 characters.
fn rendition(name: &str) -> Option<RenditionName> {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '_') => c,
        _ => '-',
    };
    let name: String = name.chars().map(plain).skip_while(|c| matches!(c, '-' | '_')).take(32).collect();
    RenditionName::new(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(name: &str) -> Result<Object, Error> {
        Ok(Object::Track(RenditionName::new(name).unwrap()))
    }

    #[test]
    fn the_forms_that_receivers_take_are_taken() {
        // STANDARDS 4.3, 4.4 and 4.5, and ffmpeg's own names.
        for (path, name) in [
            ("Streams(video-720p.cmfv)", "video-720p"),
            ("Streams(default-video.cmfv)/InitializationSegment", "default-video"),
            ("Streams(default-video.cmfv)/Segment(888419923)", "default-video"),
            ("Switching(v)/Streams(V300.cmfv)", "v300"),
            ("Switching(v)/Streams(V300.cmfv)/Segment(3)", "v300"),
            ("A48/init.cmfa", "a48"),
            ("A48/17.cmfa", "a48"),
            ("init-stream0.m4s", "stream0"),
            ("chunk-stream0-00001.m4s", "stream0"),
            ("Streams(Audio Deutsch.cmfa)", "audio-deutsch"),
        ] {
            assert_eq!(parse(path), track(name), "{path}");
        }
        assert_eq!(parse("live.mpd"), Ok(Object::Manifest));
        assert_eq!(parse("Streams(scte.cmfm)"), Ok(Object::Sparse));
        assert_eq!(parse("subs/4.cmft"), Ok(Object::Sparse));
    }

    #[test]
    fn anything_else_is_refused() {
        for path in [
            "",
            "/",
            "video",
            "Streams(video)",
            "Streams(video.cmfv",
            "Streams(video.exe)",
            "Streams(video.cmfv)/Segment(x)",
            "Streams(video.cmfv)/Segment()",
            "a/b/c.cmfv",
            "a/x.cmfv",
            "../1.cmfv/..",
            "chunk-stream0.m4s",
            "Switching(v)",
        ] {
            assert_eq!(parse(path), Err(Error::Form), "{path}");
        }
        assert_eq!(parse("Streams(---.cmfv)"), Err(Error::Name));
    }

    proptest! {
        #[test]
        fn no_path_makes_a_name_that_is_none(path in "[ -~]{0,60}") {
            if let Ok(Object::Track(name)) = parse(&path) {
                prop_assert!(RenditionName::new(name.as_str()).is_some());
            }
        }
    }
}
