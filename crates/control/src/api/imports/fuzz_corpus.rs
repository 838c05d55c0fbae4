//! The fuzz target's corpus, replayed.

#[path = "../../../../../fuzz/checks/upload_headers.rs"]
mod check;
#[path = "../../../../../fuzz/checks/corpus.rs"]
mod corpus;

use super::upload;

#[test]
fn upload_headers() {
    corpus::replay("upload_headers", check::check);
}
