//! Carries the signature of a playlist's or MPD's URL on to what it names (STANDARDS 7.13), so that a player that knows
//! nothing of signatures can follow. Pure text work.
//!
//! Only references within the server get it: it is never shown to another host.

/// A playlist with `token` in the query of every relative URI.
pub fn playlist(text: &str, token: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let end = line.get(content.len()..).unwrap_or_default();
        if content.is_empty() {
            out.push_str(line);
        } else if content.starts_with('#') {
            // One `URI` in each tag that has any (RFC 8216bis 4.4); other names end in it, too.
            match [":URI=\"", ",URI=\""].iter().find_map(|name| content.find(name).map(|at| at + name.len())) {
                Some(at) => {
                    let (head, rest) = content.split_at_checked(at).unwrap_or((content, ""));
                    let (uri, tail) = rest.split_at_checked(rest.find('"').unwrap_or(rest.len())).unwrap_or((rest, ""));
                    out.push_str(head);
                    append(&mut out, uri, token);
                    out.push_str(tail);
                }
                None => out.push_str(content),
            }
            out.push_str(end);
        } else {
            append(&mut out, content, token);
            out.push_str(end);
        }
    }
    out
}

/// An MPD with `token` in the query of every relative URL: templates, `SegmentURL`, `BaseURL` of files and `Location`.
pub fn mpd(text: &str, token: &str) -> String {
    let token = token.replace('&', "&amp;");
    let mut out = String::with_capacity(text.len() + 8 * token.len());
    let mut rest = text;
    loop {
        let starts = MARKS.iter().filter_map(|(start, end)| rest.find(start).map(|at| (at + start.len(), *end)));
        let Some((at, end)) = starts.min_by_key(|(at, _)| *at) else { break };
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let (url, tail) = tail.split_at_checked(tail.find(end).unwrap_or(tail.len())).unwrap_or((tail, ""));
        out.push_str(head);
        // A folder's name is only a part of the URLs to come.
        if url.ends_with('/') || url.is_empty() {
            out.push_str(url)
        } else {
            append_escaped(&mut out, url, &token)
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// What stands before a URL in an MPD, and what ends it.
const MARKS: [(&str, char); 7] = [
    (" media=\"", '"'),
    (" initialization=\"", '"'),
    (" sourceURL=\"", '"'),
    (" index=\"", '"'),
    ("<BaseURL>", '<'),
    ("<Location>", '<'),
    ("<PatchLocation>", '<'),
];

fn append(out: &mut String, uri: &str, token: &str) {
    out.push_str(uri);
    if is_own(uri) {
        out.push(if uri.contains('?') { '&' } else { '?' });
        out.push_str(token);
    }
}

fn append_escaped(out: &mut String, url: &str, token: &str) {
    out.push_str(url);
    if is_own(url) {
        out.push_str(if url.contains('?') { "&amp;" } else { "?" });
        out.push_str(token);
    }
}

/// Whether a reference stays on this server: a path, without scheme or host.
fn is_own(uri: &str) -> bool {
    let before_path = uri.split(['/', '?']).next().unwrap_or_default();
    !before_path.contains(':') && !uri.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STANDARDS 7.13.
    #[test]
    fn every_uri_of_a_playlist() {
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4?v=1\"\n#EXT-X-PART:DURATION=0.5,URI=\"7.0.m4s\",INDEPENDENT=YES\n\
                    #EXTINF:2,\n7.m4s\r\n\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k\"\n\
                    #EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"XURI=\"\n//elsewhere/8.m4s\n#EXT-X-RENDITION-REPORT:URI=\"../a/index.m3u8\",LAST-MSN=7\n9.m4s";
        let want = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4?v=1&P=1&S=2\"\n\
                    #EXT-X-PART:DURATION=0.5,URI=\"7.0.m4s?P=1&S=2\",INDEPENDENT=YES\n\
                    #EXTINF:2,\n7.m4s?P=1&S=2\r\n\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k\"\n\
                    #EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"XURI=\"\n//elsewhere/8.m4s\n\
                    #EXT-X-RENDITION-REPORT:URI=\"../a/index.m3u8?P=1&S=2\",LAST-MSN=7\n9.m4s?P=1&S=2";
        assert_eq!(playlist(text, "P=1&S=2"), want);
    }

    #[test]
    fn every_url_of_an_mpd() {
        let text = "<MPD><Location>/live/a/manifest.mpd</Location><BaseURL>https://b.example/x</BaseURL>\
                    <BaseURL>v/</BaseURL><SegmentTemplate initialization=\"$RepresentationID$/init.mp4?v=1\" \
                    media=\"$Number$.m4s\" timescale=\"1\"/><UTCTiming value=\"/api/v1/time\"/></MPD>";
        let want = "<MPD><Location>/live/a/manifest.mpd?P=1&amp;S=2</Location><BaseURL>https://b.example/x</BaseURL>\
                    <BaseURL>v/</BaseURL><SegmentTemplate initialization=\"$RepresentationID$/init.mp4?v=1&amp;P=1&amp;S=2\" \
                    media=\"$Number$.m4s?P=1&amp;S=2\" timescale=\"1\"/><UTCTiming value=\"/api/v1/time\"/></MPD>";
        assert_eq!(mpd(text, "P=1&S=2"), want);
    }

    #[test]
    fn texts_that_break_off_stay_whole() {
        for text in ["", "#EXT-X-MAP:URI=\"x", "#EXT-X-MAP:URI=\"", "\n\n", "é"] {
            assert!(playlist(text, "t").starts_with(text), "{text}");
            assert!(mpd(text, "t").starts_with(text), "{text}");
        }
        assert_eq!(mpd("<SegmentTemplate media=\"x", "t"), "<SegmentTemplate media=\"x?t");
    }
}
