//! Every endpoint that is not media or a page, with the role that it needs: the one table that the guard asks, and that
//! `docs/reference/roles.md` is made from. What is not in it is not answered.

use http::Method;
use millstream_access::operator::Role;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Anybody.
    Nothing,
    /// A viewer, or a program on this machine.
    ViewerOrMachine,
    /// An operator with this role, or a greater one.
    Role(Role),
}

/// What an operator who is for some channels only may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The same as everybody: nothing in it is of a channel.
    Everybody,
    /// The channel `{name}` in the path must be one of the operator's. The guard sees to it.
    Channel,
    /// The endpoint sees to it: the channel is in the body, or is known by the asset.
    OwnOnly,
    /// The endpoint leaves out what is of other channels.
    Filtered,
    /// Nothing: it belongs to the whole server.
    Nobody,
}

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The method. `GET` stands for `HEAD`, too.
    pub method: &'static str,
    /// The path, with the names of its parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub needs: Needs,
    /// Who of them, if they are for some channels only.
    pub scope: For,
    /// What it does, for the reference.
    pub what: &'static str,
}

const OPEN: Needs = Needs::Nothing;
const LOCAL: Needs = Needs::ViewerOrMachine;
const VIEWER: Needs = Needs::Role(Role::Viewer);
const OPERATOR: Needs = Needs::Role(Role::Operator);
const ADMIN: Needs = Needs::Role(Role::Admin);

const fn row(method: &'static str, path: &'static str, needs: Needs, scope: For, what: &'static str) -> Endpoint {
    Endpoint { method, path, needs, scope, what }
}

/// The table.
pub const ENDPOINTS: &[Endpoint] = &[
    row("GET", "/healthz", OPEN, For::Everybody, "the process answers"),
    row("GET", "/readyz", OPEN, For::Everybody, "it takes requests"),
    row("GET", "/metrics", LOCAL, For::Nobody, "metrics for Prometheus"),
    row("GET", "/api/v1/time", OPEN, For::Everybody, "the time, for players' clocks"),
    row("GET", "/api/v1/session", OPEN, For::Everybody, "who am I"),
    row("POST", "/api/v1/session", OPEN, For::Everybody, "log in to the console"),
    row("DELETE", "/api/v1/session", OPEN, For::Everybody, "log out"),
    row("POST", "/api/v1/session/password", VIEWER, For::Everybody, "another password of one's own"),
    row("GET", "/api/v1/session/openid", OPEN, For::Everybody, "log in by an OpenID Connect issuer"),
    row("GET", "/api/v1/session/openid/callback", OPEN, For::Everybody, "where the issuer sends the browser back to"),
    row("GET", "/api/v1/openapi.json", VIEWER, For::Everybody, "description of the API"),
    row("GET", "/api/v1/server", VIEWER, For::Everybody, "version, addresses, uptime"),
    row("GET", "/api/v1/channels", VIEWER, For::Filtered, "list channels"),
    row("POST", "/api/v1/channels", OPERATOR, For::OwnOnly, "create a channel"),
    row("GET", "/api/v1/channels/{name}", VIEWER, For::Channel, "show a channel"),
    row("PATCH", "/api/v1/channels/{name}", OPERATOR, For::Channel, "change a channel"),
    row("DELETE", "/api/v1/channels/{name}", OPERATOR, For::Channel, "delete a channel"),
    row("POST", "/api/v1/channels/{name}/start", OPERATOR, For::Channel, "let it go on air"),
    row("POST", "/api/v1/channels/{name}/stop", OPERATOR, For::Channel, "take it off air"),
    row("POST", "/api/v1/channels/{name}/rotate-key", OPERATOR, For::Channel, "another secret for the key `default`"),
    row("GET", "/api/v1/channels/{name}/keys", OPERATOR, For::Channel, "list stream keys, without secrets"),
    row("POST", "/api/v1/channels/{name}/keys", OPERATOR, For::Channel, "add a stream key"),
    row("DELETE", "/api/v1/channels/{name}/keys/{key}", OPERATOR, For::Channel, "revoke a stream key"),
    row("POST", "/api/v1/channels/{name}/keys/{key}/rotate", OPERATOR, For::Channel, "another secret for a stream key"),
    row("GET", "/api/v1/assets", VIEWER, For::Filtered, "list recordings, imports and clips"),
    row("GET", "/api/v1/assets/{id}", VIEWER, For::OwnOnly, "show one"),
    row("PATCH", "/api/v1/assets/{id}", OPERATOR, For::OwnOnly, "rename one"),
    row("DELETE", "/api/v1/assets/{id}", OPERATOR, For::OwnOnly, "delete one"),
    row("POST", "/api/v1/clips", OPERATOR, For::OwnOnly, "make a clip"),
    row("GET", "/api/v1/storage", VIEWER, For::Filtered, "what the assets fill"),
    row("GET", "/api/v1/imports", VIEWER, For::Nobody, "list imports"),
    row("POST", "/api/v1/imports", OPERATOR, For::Nobody, "announce an import"),
    row("OPTIONS", "/api/v1/imports", OPEN, For::Everybody, "which protocol uploads follow"),
    row("GET", "/api/v1/imports/{id}", VIEWER, For::Nobody, "show an import"),
    row("DELETE", "/api/v1/imports/{id}", OPERATOR, For::Nobody, "cancel an import"),
    row("HEAD", "/api/v1/imports/{id}/file", OPERATOR, For::Nobody, "how much of a file is here"),
    row("PATCH", "/api/v1/imports/{id}/file", OPERATOR, For::Nobody, "send a piece of a file"),
    row("DELETE", "/api/v1/imports/{id}/file", OPERATOR, For::Nobody, "cancel an import, as tus has it"),
    row("OPTIONS", "/api/v1/imports/{id}/file", OPEN, For::Everybody, "which protocol uploads follow"),
    row("POST", "/api/v1/sign", OPERATOR, For::Nobody, "sign a URL or cookies for a viewer"),
    row("GET", "/api/v1/tokens", ADMIN, For::Nobody, "list tokens, without secrets"),
    row("POST", "/api/v1/tokens", ADMIN, For::Nobody, "make a token"),
    row("DELETE", "/api/v1/tokens/{token}", ADMIN, For::Nobody, "revoke a token"),
    row("GET", "/api/v1/users", ADMIN, For::Nobody, "list users"),
    row("POST", "/api/v1/users", ADMIN, For::Nobody, "add a user"),
    row("PATCH", "/api/v1/users/{user}", ADMIN, For::Nobody, "another password or role"),
    row("DELETE", "/api/v1/users/{user}", ADMIN, For::Nobody, "remove a user"),
    row("GET", "/api/v1/edge", LOCAL, For::Nobody, "an edge's origins"),
];

/// The endpoint of a route; `HEAD` is a `GET`, where it has no row of its own.
pub fn find(method: &Method, path: &str) -> Option<&'static Endpoint> {
    let of = |method: &str| ENDPOINTS.iter().find(|row| row.path == path && row.method == method);
    of(method.as_str()).or_else(|| of("GET").filter(|_| *method == Method::HEAD))
}

/// The methods of a path, as `Allow` has them. Empty if the path is not in the table.
pub fn methods(path: &str) -> String {
    let rows = || ENDPOINTS.iter().filter(|row| row.path == path).map(|row| row.method);
    let head = rows().any(|m| m == "GET") && !rows().any(|m| m == "HEAD");
    rows().chain(head.then_some("HEAD")).collect::<Vec<_>>().join(",")
}

/// `docs/reference/roles.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Who may do what\n\n<!-- Made from crates/control/src/api/endpoints.rs by `cargo test -p millstream-control \
         --lib -- --ignored write_reference`. -->\n\nEvery endpoint besides the pages and media, and the role that it needs; \
         each role may do all that the one before it may: viewer, operator, admin. Media under `/live/` and `/vod/` have \
         rules of their own ([access.md](../access.md#signed-urls-and-cookies)), and uploads under `/ingest/` \
         need a stream key ([cmaf-ingest.md](../cmaf-ingest.md#credentials)). While there are no operators and the \
         server listens on loopback only, whoever is on this machine is admin \
         ([access.md](../access.md#operators)).\n\nThe last column is for tokens and users that are for some channels only.\n\n\
         | endpoint | what | role | with channels |\n|---|---|---|---|\n",
    );
    for row in ENDPOINTS {
        let role = match row.needs {
            Needs::Nothing => "none".to_owned(),
            Needs::ViewerOrMachine => "viewer, or none from this machine".to_owned(),
            Needs::Role(role) => role.to_string(),
        };
        let scope = match row.scope {
            For::Everybody => "the same",
            For::Channel | For::OwnOnly => "theirs",
            For::Filtered => "shows theirs",
            For::Nobody => "no",
        };
        page.push_str(&format!("| `{} {}` | {} | {role} | {scope} |\n", row.method, row.path, row.what));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/roles.md");

    #[test]
    fn the_reference_page_is_current() {
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(written == page(), "run `cargo test -p millstream-control --lib -- --ignored write_reference`");
    }

    #[test]
    #[ignore = "writes the page"]
    fn write_reference() {
        std::fs::write(PATH, page()).unwrap();
    }

    #[test]
    fn each_endpoint_of_the_description_has_a_role_and_the_reverse() {
        let document: serde_json::Value = serde_json::from_str(&super::super::openapi_document()).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.insert((method.to_ascii_uppercase(), path.clone()));
            }
        }
        // The tus protocol's OPTIONS and second DELETE, and what edges answer, are not in the description.
        let other = |row: &&Endpoint| {
            !row.path.starts_with("/api/v1/")
                || row.method == "OPTIONS"
                || row.path == "/api/v1/edge"
                || (row.method == "DELETE" && row.path.ends_with("/file"))
        };
        let rows = ENDPOINTS.iter().filter(|row| !other(row)).map(|row| (row.method.to_owned(), row.path.to_owned()));
        assert_eq!(rows.collect::<BTreeSet<_>>(), described);
        let all: BTreeSet<_> = ENDPOINTS.iter().map(|row| (row.method, row.path)).collect();
        assert_eq!(all.len(), ENDPOINTS.len(), "a row is there twice");
    }

    #[test]
    fn a_channel_in_the_path_is_always_checked() {
        for row in ENDPOINTS {
            let shown = format!("{} {}", row.method, row.path);
            assert_eq!(row.scope == For::Channel, row.path.starts_with("/api/v1/channels/{name}"), "{shown}");
            let about_nothing =
                ["/api/v1/openapi.json", "/api/v1/server", "/api/v1/session/password"].contains(&row.path);
            assert_eq!(row.scope == For::Everybody, row.needs == OPEN || about_nothing, "{shown}");
            let reads = matches!(row.method, "GET" | "HEAD" | "OPTIONS");
            let writes = matches!(row.needs, Needs::Role(role) if role >= Role::Operator);
            assert!(reads || writes || row.path.starts_with("/api/v1/session"), "a viewer writes: {shown}");
        }
    }

    #[test]
    fn methods_of_a_path() {
        assert_eq!(methods("/api/v1/users"), "GET,POST,HEAD");
        assert_eq!(methods("/api/v1/nothing"), "");
        let head = find(&Method::HEAD, "/api/v1/users").unwrap();
        assert_eq!((head.method, head.needs), ("GET", ADMIN));
        assert!(find(&Method::PUT, "/api/v1/users").is_none());
    }
}
