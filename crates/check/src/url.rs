//! Parts of a URL: whose server it is of, and its query.

/// Scheme, host and port of a URL: `https://h:1`.
pub fn authority(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    let end = url[after..].find(['/', '?', '#']).map_or(url.len(), |at| after + at);
    &url[..end]
}

/// A URL's query with its question mark; nothing if there is none.
pub fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or(url);
    url.find('?').map_or("", |at| &url[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let url = "http://h:1/live/index.m3u8?x=1#y";
        assert_eq!((authority(url), authority("https://h")), ("http://h:1", "https://h"));
        assert_eq!((query(url), query("http://h/a#b?c")), ("?x=1", ""));
    }
}
