//! The image playlist: which sheets of small pictures there are, in the form that Roku defined and others read
//! (`EXT-X-IMAGES-ONLY`, `EXT-X-TILES`).

use std::fmt::Write;

use millstream_media::storyboard::{SHEET_SECONDS, SHEET_TILES, TILE_HEIGHT, TILE_SECONDS, TILE_WIDTH, sheet_time};

/// Bit rate that a multivariant playlist says for it: more than any sheet has, in bit/s.
const BANDWIDTH: u64 = 40_000;

/// The playlist of these sheets (number and URI), in order. Each begins with its minute, whatever the media around it
/// does, and says so by its date.
pub fn images(sheets: impl Iterator<Item = (i64, String)>, has_ended: bool) -> String {
    let mut sheets = sheets.peekable();
    // A recording has one list from its start on; in a live one the number says what has left it.
    let first = if has_ended { 0 } else { sheets.peek().map_or(0, |(number, _)| *number) };
    // No tag here that this version lacks (STANDARDS 1.4).
    let mut out =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:{SHEET_SECONDS}\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-IMAGES-ONLY\n");
    if has_ended {
        out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
    }
    let mut before = None;
    for (number, uri) in sheets {
        if before.is_some_and(|before: i64| before + 1 != number) {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        before = Some(number);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "#EXT-X-PROGRAM-DATE-TIME:{}\n\
             #EXT-X-TILES:RESOLUTION={TILE_WIDTH}x{TILE_HEIGHT},LAYOUT=1x{SHEET_TILES},DURATION={TILE_SECONDS}\n\
             #EXTINF:{SHEET_SECONDS},\n{uri}\n",
            sheet_time(number)
        );
    }
    if has_ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

/// The line of a multivariant playlist that names it.
pub fn image_variant(uri: &str) -> String {
    let height = i64::from(TILE_HEIGHT) * SHEET_TILES;
    format!(
        "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH={BANDWIDTH},RESOLUTION={TILE_WIDTH}x{height},CODECS=\"jpeg\",URI=\"{uri}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_when_each_sheet_begins() {
        let sheets = [7, 8, 10].map(|n| (n, format!("storyboard-{n}.jpg")));
        let text = images(sheets.clone().into_iter(), true);
        assert!(text.starts_with("#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-IMAGES-ONLY\n"));
        assert!(
            text.contains(
                "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:08:00.000Z\n\
             #EXT-X-TILES:RESOLUTION=256x144,LAYOUT=1x12,DURATION=5\n#EXTINF:60,\nstoryboard-8.jpg\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:10:00.000Z\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("storyboard-10.jpg\n#EXT-X-ENDLIST\n"));
        let live = images(sheets.into_iter(), false);
        assert!(live.contains("#EXT-X-MEDIA-SEQUENCE:7\n") && !live.contains("ENDLIST"));
    }
}
