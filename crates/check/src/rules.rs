//! The rules by number: what is asked, and what cannot be asked from outside. `docs/check.md` is made of this.

/// Every rule that a finding may name, in order, with what is asked.
pub const ALL: &[(&str, &str)] = &[
    ("1.1", "a playlist is UTF-8 without byte order mark and control characters"),
    ("1.2", "path or content type say that it is a playlist"),
    ("1.3", "EXTM3U, one version, attribute lists, one kind of playlist"),
    ("1.4", "EXT-X-VERSION is what the tags need"),
    ("1.5", "playlists are gzipped"),
    ("1.7", "target duration: there, kept, constant"),
    ("1.8", "only permitted changes between two versions"),
    ("1.9", "media sequence: there, in its place, never falls"),
    ("1.10", "enough segments stay listed"),
    ("1.11", "a removed segment stays for its own length"),
    ("1.12", "a new segment comes in time; a blocked reload does not starve"),
    ("1.14", "playlist type"),
    ("1.16", "discontinuities and their sequence"),
    ("1.17", "dates: there, of the right form, not ambiguous"),
    ("1.19", "a header for each segment, of a late enough brand"),
    ("1.20", "EXTINF is within a frame of the media"),
    ("1.21", "video segments begin with an IDR picture"),
    ("1.22", "media requests are not redirected"),
    ("1.23", "EXT-X-BITRATE is a number"),
    ("1.25", "lists of one presentation agree"),
    ("1.26", "EXT-X-SERVER-CONTROL is the same everywhere"),
    ("1.27", "BANDWIDTH is there, not below the average"),
    ("1.28", "what Apple wants of a multivariant playlist"),
    ("1.29", "CODECS lists every format"),
    ("1.30", "SCORE"),
    ("1.31", "STABLE-VARIANT-ID"),
    ("1.32", "groups of renditions"),
    ("1.35", "the numbers of EXT-X-SERVER-CONTROL"),
    ("1.36", "PART-TARGET is there"),
    ("1.37", "parts: form, 85 % to 100 % of the target, tags before the first part"),
    ("1.38", "parts hold what their segment holds"),
    ("1.39", "parts near the edge stay, old ones go"),
    ("1.40", "blocking reload holds, then has what was asked for"),
    ("1.41", "wrong or far directives are refused at once"),
    ("1.42", "delta updates give the full list again"),
    ("1.43", "preload hints can be asked for and come true"),
    ("1.44", "a hinted part comes in one burst"),
    ("1.45", "what no list has is 404"),
    ("1.46", "rendition reports for all other lists"),
    ("1.48", "life times in caches"),
    ("1.49", "Age is a number"),
    ("1.51", "EXT-X-KEY and EXT-X-SESSION-KEY: form, and that they say what headers say"),
    ("2.1", "the MPD's form"),
    ("2.2", "availability start and publish time"),
    ("2.3", "clocks"),
    ("2.4", "leap seconds"),
    ("2.5", "updates and the end"),
    ("2.6", "sets and representations stay"),
    ("2.7", "a timeline is edited only as allowed"),
    ("2.8", "addressing"),
    ("2.9", "S elements"),
    ("2.10", "no gaps and overlaps"),
    ("2.11", "the availability window"),
    ("2.12", "the presentation delay fits the window"),
    ("2.14", "durations without years and months"),
    ("2.15", "low latency: offset, completeness, Resync"),
    ("2.18", "low latency: Latency@target"),
    ("2.19", "low latency: ProducerReferenceTime"),
    ("2.20", "low latency: the profile"),
    ("2.21", "the MPD says what the headers say"),
    ("2.23", "conditional requests"),
    ("3.1", "the CMAF header"),
    ("3.2", "order of boxes"),
    ("3.3", "minor versions"),
    ("3.4", "chunks: moof and mdat"),
    ("3.5", "tfhd, trun, tfdt"),
    ("3.6", "a fragment begins where the one before ended"),
    ("3.7", "a fragment begins with a sync sample"),
    ("3.8", "brand cmf2"),
    ("3.9", "trun version 1 or an edit list"),
    ("3.10", "switching sets"),
    ("3.11", "emsg"),
    ("3.12", "styp"),
    ("3.13", "prft"),
    ("3.14", "sidx"),
    ("3.15", "tfdt of 64 bits"),
    (
        "3.17",
        "encryption: sinf, tenc and pssh; senc, saiz and saio against the samples; ContentProtection against headers",
    ),
    ("5.6", "epoch grid of video (where it is promised)"),
    ("5.7", "segments after a join"),
    ("5.9", "epoch grid of audio"),
    ("5.11", "starts on whole ticks and frames"),
    ("CHECK-1b", "what is listed is there"),
    ("CHECK-1d", "dates agree between renditions"),
    ("CHECK-1e", "content types, caches, Vary, CORS"),
    ("CHECK-1f", "measured bit rates"),
    ("CHECK-1g", "nothing changes after the end"),
    ("CHECK-2b", "MPD updates; segments there when they are due, not before"),
    ("CHECK-2c", "the MPD's times and bytes are those of the media"),
    ("CHECK-2d", "the segment being made comes as it is made"),
    ("CHECK-2e", "the clock is right"),
    ("CHECK-3b", "segments of video renditions have the same starts and lengths"),
];

/// What is not asked, and why.
pub const NOT_ASKED: &[(&str, &str)] = &[
    ("1.1 (NFC)", "needs Unicode tables"),
    ("1.6", "atomic changes do not show from outside"),
    ("1.13", "full link speed cannot be told from a slow network"),
    ("1.15", "only the server knows which segment is the last"),
    ("1.18", "missing media that is not marked shows as 1.17 and 3.6"),
    ("1.23 (value)", "the value is not yet compared with the segments"),
    ("1.24", "Expires is seldom sent; Cache-Control is asked instead"),
    ("1.33, 1.34", "content steering and redundant streams: not yet"),
    ("1.47", "the checker speaks HTTP/1.1 only"),
    ("1.52", "subtitles: not yet"),
    ("CHECK-1c (503)", "needs a stalled encoder"),
    ("2.13", "the far end of the window is asked for once only, as the oldest segment listed"),
    ("2.16, 2.17", "need the service's own intent"),
    ("2.22, 2.24, 2.25", "optional or of the ingest side"),
    ("CHECK-2a", "no schema validation; 2.1 knows the attributes of MPD"),
    ("3.16", "of the ingest side"),
    ("3.17 (content)", "what is encrypted is not decrypted: the checker has no keys"),
    ("3.18", "track files of one range each: not yet"),
    ("3.19", "a choice, no rule"),
];

/// `docs/check.md`.
pub fn page() -> String {
    let table =
        |rows: &[(&str, &str)]| rows.iter().map(|(rule, what)| format!("| {rule} | {what} |\n")).collect::<String>();
    format!(
        "# millstream check\n\n<!-- Made from crates/check/src/rules.rs by `cargo test -p millstream-check -- --ignored \
         write_page`. -->\n\n`millstream check URL` reads a live or recorded presentation as a player does and lists \
         what breaks the standards. It takes HLS (`.m3u8`) and DASH (`.mpd`), by `http://` and `https://` (the system's \
         authorities, or `--cacert FILE`, or `--insecure`). Given an MPD it reads the MPD only; `--mpd URL` compares one \
         with the playlists. Redirects are followed as a player does, cookies are kept and sent back, `--header` sends \
         more to the server of the URL.\n\nFindings are listed by rule: level, rule, how often and under how many URLs, \
         then the first one with its URL, line of the playlist or MPD, and time; `--all` lists every one, `--json` has \
         them all. An error is against a MUST, a warning against a SHOULD; warnings are listed with `--warnings`. What \
         is there but not read (MPEG-2 TS, packed audio, `SegmentList`, `SegmentBase`) is told as such.\n\n\
         | Exit code | |\n| --- | --- |\n| 0 | nothing found |\n| 1 | something found |\n| 2 | nothing could be read, \
         or the command line is wrong |\n\nOf a list with parts it also asks questions: directives that \
         must be refused, reloads that block, delta updates, the hinted part, parts against their segment. One reading \
         follows at most 64 lists, keeps at most 1000 findings and waits at most 25 s for a response.\n\n\
         ## Rules that are asked\n\n| Rule | What is asked |\n| --- | --- |\n{}\n## Not asked\n\n\
         | Rule | Why |\n| --- | --- |\n{}",
        table(ALL),
        table(NOT_ASKED)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/check.md");

    #[test]
    fn the_page_lists_the_rules() {
        let written = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(written == page(), "run `cargo test -p millstream-check -- --ignored write_page`");
    }

    #[test]
    #[ignore = "writes the page"]
    fn write_page() {
        std::fs::write(PAGE, page()).unwrap();
    }
}
