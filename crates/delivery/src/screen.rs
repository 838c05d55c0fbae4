//! Where viewers may be, and which web sites may play: rules by path, in front of what answers media requests.
//!
//! A rule with countries needs to know a viewer's: a trusted proxy says it, or whoever holds a database. A refusal is
//! `no-store`.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};
use millstream_access::network::Network;
use millstream_telemetry::RequestKind;

use crate::answer::{Answer, Delivery, Peer};
use crate::body::Body;
use crate::respond::{self, CacheLife};
use crate::viewer::{Proxies, Viewer};

/// A country: ISO 3166-1 alpha-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl Country {
    /// Two capital letters.
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
                Some(Country([*first, *second]))
            }
            _ => None,
        }
    }
}

/// A web site: `https://app.example`, with a port if it is not the usual one; `https://*.app.example` for all below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site(String);

impl Site {
    /// Reads one, in the form of an `Origin` header (RFC 6454 6.2) and of a source of a Content Security Policy.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, usual_port) = match text.strip_prefix("https://") {
            Some(rest) => (rest, "443"),
            None => (text.strip_prefix("http://")?, "80"),
        };
        let below = rest.strip_prefix("*.");
        let name = below.unwrap_or(rest);
        // A port is what follows the last colon outside of an IPv6 address.
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (name, None),
        };
        // An origin never names the usual port of its scheme.
        let port_is_sent = |port: &str| {
            port != usual_port && !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok_and(|number| number > 0)
        };
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => below.is_none() && address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.split('.').all(is_label),
        };
        (is_host && port.is_none_or(port_is_sent)).then(|| Site(text.to_owned()))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a page of this origin is one of the site's.
    pub(crate) fn covers(&self, origin: &str) -> bool {
        match self.0.split_once("*.") {
            None => origin == self.0,
            Some((scheme, below)) => {
                let name = origin.strip_prefix(scheme).and_then(|rest| rest.strip_suffix(below));
                name.is_some_and(|name| name.len() > 1 && name.ends_with('.') && !name.contains('/'))
            }
        }
    }
}

/// What holds for paths that begin in a certain way.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `/live/CHANNEL/`, `/vod/ASSET/`, or the beginning of several.
    pub path: String,
    /// Countries whose viewers may watch; all others may not. Empty for all.
    pub allow: Vec<Country>,
    /// Countries whose viewers may not watch.
    pub deny: Vec<Country>,
    /// Whether those may whose country is not known.
    pub unknown: bool,
    /// Web sites whose pages may play it, besides the server's own; any if empty.
    pub sites: Vec<Site>,
    /// Whether requests that name no site (most players that are no browser) are answered where sites are listed.
    pub without_site: bool,
}

impl Rule {
    fn asks_country(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    fn admits_country(&self, country: Option<Country>) -> bool {
        match country {
            None => self.unknown,
            Some(country) => (self.allow.is_empty() || self.allow.contains(&country)) && !self.deny.contains(&country),
        }
    }
}

/// All rules. Each whose path is the beginning of a request's must agree.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    fn of<'a, 'p>(&'a self, path: &'p str) -> impl Iterator<Item = &'a Rule> + use<'a, 'p> {
        self.0.iter().filter(move |rule| path.starts_with(&rule.path))
    }

    /// The sites whose pages may show what lies under a media path; `None` for any.
    pub fn sites<'a>(&'a self, path: &str) -> Option<Vec<&'a Site>> {
        let mut listed = self.of(path).filter(|rule| !rule.sites.is_empty());
        let first = listed.next()?;
        let others: Vec<&Rule> = listed.collect();
        Some(first.sites.iter().filter(|site| others.iter().all(|rule| rule.sites.contains(site))).collect())
    }
}

/// Gives the country of an address, if it is known.
pub type Countries = Arc<dyn Fn(IpAddr) -> Option<Country> + Send + Sync>;

/// What answers, behind the rules.
pub struct Screened {
    inner: Arc<dyn Delivery>,
    rules: Rules,
    countries: Countries,
    proxies: Proxies,
    /// Connections from here are edges, which asked their viewers already.
    edges: Vec<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Country,
    Site,
}

impl Screened {
    /// Puts the rules in front of `inner`.
    pub fn new(
        inner: Arc<dyn Delivery>,
        rules: Rules,
        countries: Countries,
        proxies: Proxies,
        edges: Vec<Network>,
    ) -> Self {
        Screened { inner, rules, countries, proxies, edges }
    }

    fn check(&self, request: &Request<()>, peer: Peer) -> Result<(), Refusal> {
        let mut rules = self.rules.of(request.uri().path()).peekable();
        if rules.peek().is_none() || self.edges.iter().any(|network| network.contains(peer.address.ip())) {
            return Ok(());
        }
        let viewer = Viewer::of(request, peer, &self.proxies);
        let mut known = None;
        for rule in rules {
            if rule.asks_country() {
                let country = *known.get_or_insert_with(|| match viewer.country {
                    Some(said) => Country::parse(said),
                    None => (self.countries)(viewer.address),
                });
                if !rule.admits_country(country) {
                    return Err(Refusal::Country);
                }
            }
            if !rule.sites.is_empty() && !admits_site(rule, request.headers(), &viewer) {
                return Err(Refusal::Site);
            }
        }
        Ok(())
    }
}

impl Delivery for Screened {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        match self.check(request, peer) {
            Ok(()) => self.inner.answer(request, peer),
            Err(refusal) => Answer::ready(RequestKind::Other, refused(refusal)),
        }
    }
}

/// Whether the page that asks may play: by `Origin`, or by `Referer` where there is none.
fn admits_site(rule: &Rule, headers: &HeaderMap, viewer: &Viewer<'_>) -> bool {
    let mut said = [header::ORIGIN, header::REFERER].into_iter().filter_map(|name| {
        let mut values = headers.get_all(name).iter();
        // Two of them may be read in two ways; what is no text is no site.
        values.next().map(|value| value.to_str().ok().filter(|_| values.next().is_none()).unwrap_or_default())
    });
    let Some(said) = said.next() else { return rule.without_site };
    let origin = site_of(said);
    let is_own = origin.split_once("://").is_some_and(|own| own == (viewer.scheme, viewer.host));
    is_own || rule.sites.iter().any(|site| site.covers(origin))
}

/// Scheme, name and port of a URL.
fn site_of(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(begin..).and_then(|rest| rest.find(['/', '?', '#']));
    end.and_then(|end| url.get(..begin + end)).unwrap_or(url)
}

fn refused(refusal: Refusal) -> Response<Body> {
    let text = match refusal {
        Refusal::Country => "this stream is not available in your country\n",
        Refusal::Site => "this stream may not be played on this web site\n",
    };
    respond::plain(StatusCode::FORBIDDEN, text, CacheLife::NoStore)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::answer::Reply;
    use crate::viewer::ProxyHeaders;

    struct All;

    impl Delivery for All {
        fn answer(&self, _: &Request<()>, _: Peer) -> Answer {
            Answer::ready(RequestKind::Segment, Response::new(Body::empty()))
        }
    }

    fn rule(path: &str) -> Rule {
        Rule { path: path.to_owned(), allow: vec![], deny: vec![], unknown: true, sites: vec![], without_site: true }
    }

    fn countries(texts: &[&str]) -> Vec<Country> {
        texts.iter().map(|text| Country::parse(text).unwrap()).collect()
    }

    fn sites(texts: &[&str]) -> Vec<Site> {
        texts.iter().map(|text| Site::parse(text).unwrap()).collect()
    }

    fn ask(rules: &[Rule], path: &str, headers: &[(&str, &str)], peer: &str) -> Response<Body> {
        // 192.0.2.x is German, 198.51.100.x Austrian.
        let look = |address: IpAddr| {
            let text = address.to_string();
            let starts = |start: &str| text.starts_with(start);
            if starts("192.0.2.") { Country::parse("DE") } else { starts("198.51.100.").then_some(Country(*b"AT")) }
        };
        let network = |text| Network::parse(text).unwrap();
        let proxies = Proxies { networks: vec![network("10.0.0.0/8")], headers: ProxyHeaders::CloudFront };
        let screened = Screened::new(
            Arc::new(All),
            Rules(rules.to_vec()),
            Arc::new(look),
            proxies,
            vec![network("172.16.0.0/12")],
        );
        let mut request = Request::builder().uri(path).header("host", "tv.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), tls: true, certified: false };
        match screened.answer(&request.body(()).unwrap(), peer).reply {
            Reply::Ready(response) => response,
            Reply::Later(_) => panic!("nothing waits here"),
        }
    }

    #[test]
    fn countries_of_a_channel() {
        let allow = Rule { allow: countries(&["DE", "CH"]), unknown: false, ..rule("/live/news/") };
        let deny = Rule { deny: countries(&["DE"]), ..rule("/vod/news-") };
        let rules = [allow, deny];
        let by = |country| [("cloudfront-viewer-country", country), ("cloudfront-viewer-address", "203.0.113.1:5")];
        for (path, headers, peer, want) in [
            ("/live/news/index.m3u8", &[][..], "192.0.2.1", 200),
            ("/live/news/index.m3u8", &[], "198.51.100.1", 403),
            ("/live/news/index.m3u8", &[], "203.0.113.1", 403),
            ("/live/newsroom/index.m3u8", &[], "203.0.113.1", 200),
            ("/vod/news-20261122-222500/index.m3u8", &[], "192.0.2.1", 403),
            ("/vod/news-20261122-222500/index.m3u8", &[], "203.0.113.1", 200),
            ("/live/news/index.m3u8", &by("CH"), "10.0.0.1", 200),
            ("/live/news/index.m3u8", &by("AT"), "10.0.0.1", 403),
            ("/live/news/index.m3u8", &by("de"), "10.0.0.1", 403),
            ("/live/news/index.m3u8", &by("CH"), "198.51.100.1", 403),
            ("/live/news/index.m3u8", &[], "172.16.0.1", 200),
        ] {
            assert_eq!(ask(&rules, path, headers, peer).status(), want, "{path} {headers:?} {peer}");
        }
        assert_eq!(ask(&rules, "/live/news/x", &[], "203.0.113.1").headers()["cache-control"], "no-store");
    }

    #[test]
    fn sites_that_may_play() {
        let listed =
            Rule { sites: sites(&["https://partner.example", "https://*.app.example"]), ..rule("/live/news/") };
        let strict = Rule { without_site: false, ..listed.clone() };
        for (headers, want) in [
            (&[][..], 200),
            (&[("origin", "https://partner.example")], 200),
            (&[("origin", "http://partner.example")], 403),
            (&[("origin", "https://partner.example:8443")], 403),
            (&[("origin", "https://partner.example.evil.example")], 403),
            (&[("origin", "https://www.app.example")], 200),
            (&[("origin", "https://app.example")], 403),
            (&[("origin", "https://evilapp.example")], 403),
            (&[("origin", "https://evil.example/.app.example")], 403),
            (&[("origin", "https://tv.example")], 200),
            (&[("origin", "http://tv.example")], 403),
            (&[("origin", "null")], 403),
            (&[("origin", "")], 403),
            (&[("referer", "https://partner.example/page?x=https://evil.example")], 200),
            (&[("referer", "https://evil.example/?https://partner.example")], 403),
            (&[("referer", "https://evil.example#@partner.example")], 403),
            (&[("origin", "https://evil.example"), ("referer", "https://partner.example/")], 403),
            (&[("origin", "https://partner.example"), ("origin", "https://evil.example")], 403),
        ] {
            let status = ask(std::slice::from_ref(&listed), "/live/news/x", headers, "192.0.2.1").status();
            assert_eq!(status, want, "{headers:?}");
        }
        assert_eq!(ask(&[strict], "/live/news/x", &[], "192.0.2.1").status(), 403, "no site is named");
    }

    #[test]
    fn all_rules_of_a_path_must_agree() {
        let one = Rule { sites: sites(&["https://a.example", "https://b.example"]), ..rule("/live/") };
        let other = Rule { sites: sites(&["https://b.example"]), ..rule("/live/news/") };
        let rules = [one, other];
        let status = |path, site| ask(&rules, path, &[("origin", site)], "192.0.2.1").status().as_u16();
        assert_eq!(
            (status("/live/news/x", "https://a.example"), status("/live/news/x", "https://b.example")),
            (403, 200)
        );
        assert_eq!(status("/live/sport/x", "https://a.example"), 200);
        let rules = Rules(rules.to_vec());
        let texts = |path| rules.sites(path).map(|sites| sites.into_iter().map(Site::text).collect::<Vec<_>>());
        assert_eq!(texts("/live/news/"), Some(vec!["https://b.example"]));
        assert_eq!(texts("/live/sport/").map(|sites| sites.len()), Some(2));
        assert_eq!(texts("/vod/x/"), None);
    }

    #[test]
    fn what_is_no_country_and_no_site() {
        assert!(["de", "DEU", "D", "", "D1", "ÄÖ"].iter().all(|text| Country::parse(text).is_none()));
        for text in
            ["", "partner.example", "https://", "https://*.", "https://a.example/", "https://a b", "https://A.example"]
        {
            assert_eq!(Site::parse(text), None, "{text}");
        }
        // No browser sends these as an origin, so they would never match.
        for text in [
            "https://a.example:443",
            "http://a.example:80",
            "https://a.example:abc",
            "https://a.example:0",
            "https://a.example:08443",
            "https://a.example:70000",
            "https://a.example:",
            "https://a..example",
            "https://[::1",
            "https://*.[::1]",
            "https://[nothing]",
        ] {
            assert_eq!(Site::parse(text), None, "{text}");
        }
        for text in [
            "https://a.example:8443",
            "http://a.example:443",
            "http://[::1]:8080",
            "https://*.a.example:8443",
            "http://localhost",
        ] {
            assert!(Site::parse(text).is_some(), "{text}");
        }
        for text in ["https://a.example; script-src *", "https://a.example,b", "*"] {
            assert_eq!(Site::parse(text), None, "{text}: it would change the policy of pages");
        }
    }
}
