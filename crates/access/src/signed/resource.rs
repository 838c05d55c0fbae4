//! Which URLs the `Resource` of a policy covers (STANDARDS 7.6).
//!
//! `*` stands for any number of characters and `?` for exactly one, each within its part of the URL: the domain, the path
//! or the query. `\?` is the mark before the query.

/// The URL of a request, without what belongs to a signature.
#[derive(Clone, Copy, Debug)]
pub struct Url<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Name and port as the viewer wrote them.
    pub host: &'a str,
    /// From the first slash on.
    pub path: &'a str,
    /// Behind the question mark.
    pub query: Option<&'a str>,
}

impl Url<'_> {
    /// As text.
    pub fn to_text(self) -> String {
        let Url { scheme, host, path, query } = self;
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        let mut text = String::with_capacity(scheme.len() + 3 + host.len() + path.len() + 1 + query.len());
        for part in [scheme, "://", host, path, mark, query] {
            text.push_str(part);
        }
        text
    }

    fn is(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.scheme).and_then(|t| t.strip_prefix("://"));
        let rest = rest.and_then(|t| t.strip_prefix(self.host)).and_then(|t| t.strip_prefix(self.path));
        match (rest, self.query) {
            (Some(rest), None) => rest.is_empty(),
            (Some(rest), Some(query)) => rest.strip_prefix('?') == Some(query),
            (None, _) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Any,
}

/// A `Resource`, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    text: Box<str>,
    scheme: Scheme,
    domain: Vec<Token>,
    /// `None`: any path and any query, because the domain ends in `*`.
    path: Option<Vec<Token>>,
    /// `None`: no query, or any if the path ends in `*`.
    query: Option<Vec<Token>>,
}

impl Resource {
    /// Reads a `Resource`; `None` if it is none: it begins with `http://`, `https://`, `*://` (or `http*://`), or is `*`.
    pub fn parse(text: &str) -> Option<Self> {
        let everything = if text == "*" { "*://*" } else { text };
        let (scheme, rest) = everything.split_once("://")?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "*" | "http*" => Scheme::Any,
            _ => return None,
        };
        let (domain, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).map(|(domain, path)| (domain, Some(path)))?,
            None if rest.ends_with('*') => (rest, None),
            None => (rest, Some("/")),
        };
        if domain.is_empty() {
            return None;
        }
        let (path, query) = match path.and_then(|path| path.split_once("\\?")) {
            Some((path, query)) => (Some(path), Some(query)),
            None => (path, None),
        };
        let resource = Resource {
            text: text.into(),
            scheme,
            domain: tokens(domain),
            path: path.map(tokens),
            query: query.map(tokens),
        };
        Some(resource)
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it covers more than one URL.
    pub fn is_wildcard(&self) -> bool {
        let any = |tokens: &Option<Vec<Token>>| tokens.as_ref().is_none_or(|t| t.contains(&Token::Many));
        any(&self.path)
    }

    /// Whether it covers this URL. The URL word by word is always covered, also where its query is not marked by `\?`.
    pub fn covers(&self, url: &Url<'_>) -> bool {
        if url.is(&self.text) {
            return true;
        }
        let scheme = match self.scheme {
            Scheme::Any => matches!(url.scheme, "http" | "https"),
            Scheme::Http => url.scheme == "http",
            Scheme::Https => url.scheme == "https",
        };
        if !scheme || !matches(&self.domain, url.host.as_bytes()) {
            return false;
        }
        let Some(path) = &self.path else { return true };
        let query = url.query.unwrap_or_default().as_bytes();
        let query_covered = match &self.query {
            Some(pattern) => matches(pattern, query),
            None => url.query.is_none() || path.last() == Some(&Token::Many),
        };
        query_covered && matches(path, url.path.as_bytes())
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.bytes().peekable();
    while let Some(byte) = bytes.next() {
        tokens.push(match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            b'\\' if bytes.next_if_eq(&b'?').is_some() => Token::Byte(b'?'),
            byte => Token::Byte(byte),
        });
    }
    tokens
}

/// Matches from the left, and goes back to the last `*` only: at most pattern times text steps.
fn matches(pattern: &[Token], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (Some(Token::Many), _) => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            (None, None) => return true,
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Byte(want)), Some(is)) => want == is,
            _ => false,
        };
        if step {
            (p, t) = (p + 1, t + 1);
            continue;
        }
        match &mut star {
            Some((after, from)) if *from < text.len() => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(resource: &str, url: &str) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, rest) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        Resource::parse(resource).unwrap().covers(&Url { scheme, host, path, query })
    }

    /// STANDARDS 7.6.
    #[test]
    fn wildcards_act_within_their_part() {
        for (resource, url, want) in [
            ("https://a.example/live/x.m3u8", "https://a.example/live/x.m3u8", true),
            ("https://a.example/live/x.m3u8", "https://a.example/live/x.m3u8?a=b", false),
            ("https://a.example/live/x.m3u8", "http://a.example/live/x.m3u8", false),
            ("https://a.example/live/x.m3u8", "https://b.example/live/x.m3u8", false),
            ("https://a.example/live/*", "https://a.example/live/x/720p/3.0.m4s", true),
            ("https://a.example/live/*", "https://a.example/live/x.m3u8?a=b", true),
            ("https://a.example/live/*", "https://a.example/vod/x", false),
            ("https://a.example/live/*.m3u8", "https://a.example/live/x/y.m3u8", true),
            ("https://a.example/live/*.m3u8", "https://a.example/live/x.m3u8?a=b", false),
            ("https://a.example/live/*.m3u8", "https://a.example/live/x?y.m3u8", false),
            ("https://a.example/live/x*b", "https://a.example/live/x?a=b", false),
            ("https://a.example/live/?.m4s", "https://a.example/live/7.m4s", true),
            ("https://a.example/live/?.m4s", "https://a.example/live/77.m4s", false),
            ("https://a.example/live/?.m4s", "https://a.example/live/.m4s", false),
            ("https://a.example/x\\?a=*", "https://a.example/x?a=b", true),
            ("https://a.example/x\\?a=*", "https://a.example/x?b=b", false),
            ("https://a.example/x\\?*", "https://a.example/x", true),
            ("https://a.example/x?a=b", "https://a.example/x?a=b", true),
            ("https://a.example/x?y", "https://a.example/x?y", true),
            ("https://a.example/x?a=*", "https://a.example/x?a=b", false),
            ("*://a.example/*", "http://a.example/x", true),
            ("http*://a.example/*", "https://a.example/x?y=z", true),
            ("https://*.example/x", "https://a.b.example/x", true),
            ("https://*.example/x", "https://evil/a.example/x", false),
            ("https://a.example*", "https://a.example:8443/x?y", true),
            ("https://*", "https://a.example/x?y", true),
            ("*", "http://a.example/x?y", true),
            ("https://a.example", "https://a.example/", true),
            ("https://a.example", "https://a.example/x", false),
            ("https://A.example/x", "https://a.example/x", false),
        ] {
            assert_eq!(covers(resource, url), want, "{resource} and {url}");
        }
    }

    #[test]
    fn what_is_no_resource() {
        for text in ["", "/live/*", "a.example/x", "ftp://a.example/x", "https:///x", "https://", "**"] {
            assert_eq!(Resource::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_bounded_time() {
        let pattern = format!("http://h/{}b", "*a".repeat(500));
        assert!(!covers(&pattern, &format!("http://h/{}", "a".repeat(4000))));
    }

    /// The obvious reading, for short texts.
    fn plainly(pattern: &[Token], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Token::Many, rest)), first) => {
                plainly(rest, text) || first.is_some_and(|(_, after)| plainly(pattern, after))
            }
            (Some((Token::One, rest)), Some((_, after))) => plainly(rest, after),
            (Some((Token::Byte(want), rest)), Some((is, after))) => want == is && plainly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_the_obvious_reading(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let pattern = tokens(&pattern);
            prop_assert_eq!(matches(&pattern, text.as_bytes()), plainly(&pattern, text.as_bytes()));
        }
    }
}
