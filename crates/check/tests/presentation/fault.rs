//! Faults: changes made to the responses of a faultless presentation, each of which fails if it does not apply.

use bytes::Bytes;
use millstream_check::fetch::Response;

use super::Fault;

/// Changes the text of the responses whose path contains `path`.
pub fn text(path: &'static str, change: impl Fn(String, i64) -> String + 'static) -> Fault {
    Box::new(move |url, ms, response| {
        if url.contains(path) && response.status == 200 {
            let old = String::from_utf8(response.body.to_vec()).unwrap();
            response.body = Bytes::from(change(old, ms));
        }
    })
}

/// Replaces in the text, always.
pub fn swap(path: &'static str, from: &'static str, to: &'static str) -> Fault {
    text(path, move |t, _| {
        assert!(t.contains(from), "the fault does not apply: no {from:?} in {t}");
        t.replace(from, to)
    })
}

/// Replaces in the text from the eighth second on.
pub fn later(path: &'static str, from: &'static str, to: &'static str) -> Fault {
    text(path, move |t, ms| {
        assert!(t.contains(from), "the fault does not apply: no {from:?} in {t}");
        if ms < 8000 { t } else { t.replace(from, to) }
    })
}

/// Drops every line that begins so.
pub fn without(path: &'static str, prefix: &'static str) -> Fault {
    text(path, move |t, _| t.lines().filter(|l| !l.starts_with(prefix)).map(|l| format!("{l}\n")).collect())
}

/// Changes a response altogether.
pub fn response(path: &'static str, change: impl Fn(&mut Response) + 'static) -> Fault {
    Box::new(move |url, _, response| {
        if url.contains(path) && response.status < 300 {
            change(response);
        }
    })
}

/// Overwrites bytes, counted from the body of the first box of a type.
pub fn patch(path: &'static str, kind: &'static [u8; 4], at: usize, bytes: &'static [u8]) -> Fault {
    response(path, move |response| {
        if response.status != 200 {
            return;
        }
        let mut body = response.body.to_vec();
        let found = body.windows(4).position(|w| w == kind).expect("no such box") + 4 + at;
        body[found..found + bytes.len()].copy_from_slice(bytes);
        response.body = Bytes::from(body);
    })
}

/// Renames the first box of a type.
pub fn rename(path: &'static str, kind: &'static [u8; 4], to: &'static [u8; 4]) -> Fault {
    response(path, move |response| {
        if response.status != 200 {
            return;
        }
        let mut body = response.body.to_vec();
        let found = body.windows(4).position(|w| w == kind).expect("no such box");
        body[found..found + 4].copy_from_slice(to);
        response.body = Bytes::from(body);
    })
}

/// Drops or changes a header.
pub fn header(path: &'static str, name: &'static str, value: Option<&'static str>) -> Fault {
    response(path, move |response| {
        response.headers.retain(|(n, _)| n != name);
        response.headers.extend(value.map(|v| (name.to_owned(), v.to_owned())));
    })
}
