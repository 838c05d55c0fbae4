//! An S3 server of the test's own, over HTTP: signatures are checked, and the user may do only what the archive needs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server. Ends with the test.
pub struct S3 {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
    /// Access key of the user.
    pub key: String,
    /// Its secret.
    pub secret: String,
}

/// The bucket that the user may use.
pub const BUCKET: &str = "millstream";

impl S3 {
    /// Starts one with an empty bucket, by `scripts/s3-for-tests`.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/s3-for-tests");
        // Lives until its input ends.
        let mut child = Command::new(script)
            .args(["sh", "-c", "env | grep ^MILLSTREAM_TEST_S3; echo ready; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/s3-for-tests cannot be run");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said: BTreeMap<String, String> = lines
            .take_while(|line| line != "ready")
            .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let of = |name: &str| said.get(name).unwrap_or_else(|| panic!("the S3 server did not start: {said:?}")).clone();
        S3 {
            address: of("MILLSTREAM_TEST_S3").trim_start_matches("http://").to_owned(),
            key: of("MILLSTREAM_TEST_S3_KEY"),
            secret: of("MILLSTREAM_TEST_S3_SECRET"),
            child,
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
