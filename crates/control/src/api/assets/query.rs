//! The query of a list: filters, page size, cursor.

use millstream_archive::State;
use millstream_archive::library::{Cursor, Filter, KindName};

use crate::channel::{ChannelName, nearest};

/// Assets on a page, unless asked otherwise.
const LIMIT: usize = 50;
/// Most assets on a page.
const MAX_LIMIT: usize = 500;
/// The parameters.
const KNOWN: [&str; 5] = ["channel", "cursor", "kind", "limit", "state"];

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub filter: Filter,
    pub after: Option<Cursor>,
    pub limit: usize,
}

/// Reads a query. All values are of plain characters, so none is percent-encoded.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    let mut query = Query { filter: Filter::default(), after: None, limit: LIMIT };
    for pair in text.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let shown = || value.chars().take(80).collect::<String>();
        match name {
            "channel" => {
                let name = ChannelName::new(value).map_err(|error| format!("channel: {error}"))?;
                query.filter.channel = Some(name.as_str().to_owned());
            }
            "kind" => {
                query.filter.kind =
                    Some(kind(value).ok_or_else(|| one_of("kind", &shown(), "recording, import or clip"))?)
            }
            "state" => {
                query.filter.state =
                    Some(state(value).ok_or_else(|| one_of("state", &shown(), "recording, ended or deleting"))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|l| (1..=MAX_LIMIT).contains(l));
                query.limit = limit.ok_or_else(|| one_of("limit", &shown(), "a number from 1 to 500"))?;
            }
            "cursor" => {
                let after = value.parse().map_err(|()| one_of("cursor", &shown(), "`next` of the page before"))?;
                query.after = Some(after);
            }
            other => {
                let other: String = other.chars().take(80).collect();
                let hint = nearest(&other, &KNOWN)
                    .map_or_else(|| format!("known are {}", KNOWN.join(", ")), |near| format!("did you mean {near}?"));
                return Err(format!("there is no parameter {other:?}; {hint}"));
            }
        }
    }
    Ok(query)
}

fn one_of(name: &str, value: &str, known: &str) -> String {
    format!("{name}={value} cannot be used; give {known}")
}

fn kind(text: &str) -> Option<KindName> {
    match text {
        "recording" => Some(KindName::Recording),
        "import" => Some(KindName::Import),
        "clip" => Some(KindName::Clip),
        _ => None,
    }
}

fn state(text: &str) -> Option<State> {
    match text {
        "recording" => Some(State::Recording),
        "ended" => Some(State::Ended),
        "deleting" => Some(State::Deleting),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_filters_and_pages() {
        let query = parse("channel=news&kind=clip&state=ended&limit=2&cursor=17.news-clip-1").unwrap();
        assert_eq!(query.filter.channel.as_deref(), Some("news"));
        assert_eq!((query.filter.kind, query.filter.state, query.limit), (Some(KindName::Clip), Some(State::Ended), 2));
        assert_eq!(query.after.unwrap().to_string(), "17.news-clip-1");
        assert_eq!(parse("").unwrap(), Query { filter: Filter::default(), after: None, limit: 50 });
    }

    #[test]
    fn mistakes_name_the_mend() {
        for (text, mend) in [
            ("limit=0", "1 to 500"),
            ("limit=501", "1 to 500"),
            ("limit=x", "1 to 500"),
            ("kind=film", "recording, import or clip"),
            ("state=", "recording, ended or deleting"),
            ("cursor=abc", "page before"),
            ("chanel=a", "did you mean channel?"),
            ("channel=A", "is not allowed"),
            ("sort=name", "known are"),
        ] {
            assert!(parse(text).unwrap_err().contains(mend), "{text}: {:?}", parse(text));
        }
    }
}
