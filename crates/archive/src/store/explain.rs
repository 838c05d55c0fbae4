//! What a store's failure means for who runs it: the cause, and the mend.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use object_store::Error as Failure;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no such bucket or container.
    NoBucket,
    /// The bucket is in another region.
    Region,
    /// The access key is unknown.
    KeyId,
    /// The secret does not belong to the key.
    Secret,
    /// The session's credentials have expired.
    Expired,
    /// No credentials were found.
    NoCredentials,
    /// The key may not do this.
    Denied,
    /// Our clock or the store's is wrong.
    Clock,
    /// The KMS key cannot be used.
    Kms,
    /// The store asks for less.
    Throttled,
    /// The disk is full.
    Full,
    /// The folder may not be written.
    Folder,
    /// The store cannot be reached.
    Unreachable,
    /// The connection broke off.
    Broken,
    /// It took too long.
    Slow,
    /// The store failed by itself.
    Server,
    /// Something else; the source says what.
    Other,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NoBucket => "there is no such bucket; create it, or correct archive.url",
            Cause::Region => "the bucket is in another region; set archive.region (or AWS_REGION) to the bucket's",
            Cause::KeyId => "the store does not know the access key; check AWS_ACCESS_KEY_ID or the profile",
            Cause::Secret => "the signature is wrong; check AWS_SECRET_ACCESS_KEY, and that no proxy changes requests",
            Cause::Expired => "the credentials have expired; renew AWS_SESSION_TOKEN, or use a role",
            Cause::NoCredentials => {
                "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, archive.profile, or run with a role"
            }
            Cause::Denied => "the key may not do this; allow reading, writing, deleting and listing below the prefix",
            Cause::Clock => "the clock of this machine and the store's differ too much; synchronise it (NTP)",
            Cause::Kms => "the KMS key cannot be used; allow kms:GenerateDataKey and kms:Decrypt on it",
            Cause::Throttled => "the store asks to slow down; it is tried again",
            Cause::Full => "the disk is full; make room, or shorten the retention",
            Cause::Folder => "the folder may not be written; check its owner and permissions",
            Cause::Unreachable => "the store cannot be reached; check archive.endpoint, the network and the firewall",
            Cause::Broken => "the connection to the store broke off; it is tried again",
            Cause::Slow => "the store did not answer in time; it is tried again",
            Cause::Server => "the store failed by itself; it is tried again",
            Cause::Other => "the store failed",
        })
    }
}

/// Marks of each cause in what the stores say, the more telling first.
const MARKS: &[(&str, Cause)] = &[
    ("NoSuchBucket", Cause::NoBucket),
    ("The specified bucket does not exist", Cause::NoBucket),
    ("ContainerNotFound", Cause::NoBucket),
    ("RequestTimeTooSkewed", Cause::Clock),
    ("RequestExpired", Cause::Clock),
    ("PermanentRedirect", Cause::Region),
    ("AuthorizationHeaderMalformed", Cause::Region),
    ("IllegalLocationConstraint", Cause::Region),
    ("Received redirect without LOCATION", Cause::Region),
    ("301 Moved Permanently", Cause::Region),
    ("InvalidAccessKeyId", Cause::KeyId),
    ("InvalidClientTokenId", Cause::KeyId),
    ("SignatureDoesNotMatch", Cause::Secret),
    ("ExpiredToken", Cause::Expired),
    ("InvalidToken", Cause::Expired),
    ("KMS.", Cause::Kms),
    ("kms:", Cause::Kms),
    ("AccessDenied", Cause::Denied),
    ("AuthorizationFailure", Cause::Denied),
    ("SlowDown", Cause::Throttled),
    ("503 Service Unavailable", Cause::Server),
    ("429 Too Many Requests", Cause::Throttled),
    ("ENOSPC", Cause::Full),
    ("No space left on device", Cause::Full),
    ("Disk quota exceeded", Cause::Full),
    ("Permission denied", Cause::Folder),
    ("Read-only file system", Cause::Folder),
    ("169.254.169.254", Cause::NoCredentials),
    ("169.254.170.2", Cause::NoCredentials),
    ("dns error", Cause::Unreachable),
    ("Connection refused", Cause::Unreachable),
    ("error trying to connect", Cause::Unreachable),
    ("tcp connect error", Cause::Unreachable),
    ("Network is unreachable", Cause::Unreachable),
    ("timed out", Cause::Slow),
    ("Connection reset", Cause::Broken),
    ("connection reset", Cause::Broken),
    ("Broken pipe", Cause::Broken),
    ("connection closed", Cause::Broken),
    ("connection error", Cause::Broken),
    ("unexpected EOF", Cause::Broken),
    ("unexpected end of file", Cause::Broken),
    ("end of file before message length reached", Cause::Broken),
    ("error decoding response body", Cause::Broken),
    ("error sending request", Cause::Broken),
    ("Internal Server Error", Cause::Server),
    ("InternalError", Cause::Server),
    ("Bad Gateway", Cause::Server),
    ("403 Forbidden", Cause::Denied),
    ("401 Unauthorized", Cause::NoCredentials),
];

impl Cause {
    /// Whether who reads it needs what the store said, too.
    pub(super) const fn needs_words(self) -> bool {
        matches!(self, Cause::Other | Cause::Server | Cause::Broken | Cause::Unreachable)
    }
}

/// Most bytes of what a store said that are told.
const MAX_WORDS: usize = 400;

/// What a failure and its sources say, in one line. Queries of URLs are left out: they may hold signatures.
pub(super) fn words(failure: &Failure) -> String {
    let mut text = chain(failure).replace('\n', ": ");
    while let Some(at) = text.find('?') {
        let end = text.get(at..).and_then(|t| t.find([' ', ')', '"', '\''])).map_or(text.len(), |length| at + length);
        text.replace_range(at..end, "");
    }
    let end = (0..=MAX_WORDS.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text.retain(|c| !c.is_control());
    text
}

/// A failure with its sources, a line for each that says something new.
fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut source = failure.source();
    // Chains are short; a bound keeps a loop in one from being ours.
    for _ in 0..16 {
        let Some(next) = source else { break };
        let said = next.to_string();
        if !text.contains(&said) {
            text.push('\n');
            text.push_str(&said);
        }
        source = next.source();
    }
    text
}

/// The cause of a failure, by everything that it and its sources say.
pub(super) fn cause(failure: &Failure) -> Cause {
    let text = chain(failure);
    let marked = MARKS.iter().find(|(mark, _)| text.contains(mark)).map(|(_, cause)| *cause);
    marked.unwrap_or(match failure {
        Failure::PermissionDenied { .. } => Cause::Denied,
        Failure::Unauthenticated { .. } => Cause::NoCredentials,
        _ => Cause::Other,
    })
}

/// "Not found" that is about the bucket, not the object.
pub(super) fn is_about_bucket(text: &str) -> bool {
    MARKS.iter().any(|(mark, cause)| *cause == Cause::NoBucket && text.contains(mark))
}

/// The failure of a request that was given up.
pub(super) fn timed_out(after: Duration) -> Failure {
    Failure::Generic { store: "archive", source: format!("timed out after {} s", after.as_secs()).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stores_say_has_a_cause_and_a_mend() {
        for (said, cause_of) in [
            ("<Code>NoSuchBucket</Code>", Cause::NoBucket),
            ("Client error with status 403 Forbidden: <Code>RequestTimeTooSkewed</Code>", Cause::Clock),
            ("Client error with status 403 Forbidden: <Code>SignatureDoesNotMatch</Code>", Cause::Secret),
            ("Client error with status 403 Forbidden: <Code>InvalidAccessKeyId</Code>", Cause::KeyId),
            ("Client error with status 403 Forbidden: <Code>AccessDenied</Code>", Cause::Denied),
            (
                "status 403: User is not authorized to perform: kms:GenerateDataKey <Code>AccessDenied</Code>",
                Cause::Kms,
            ),
            ("tcp connect error: Connection refused (os error 111)", Cause::Unreachable),
            ("No space left on device (os error 28)", Cause::Full),
            ("connection closed before message completed", Cause::Broken),
            ("end of file before message length reached", Cause::Broken),
            ("anything else", Cause::Other),
        ] {
            let failure = Failure::Generic { store: "S3", source: said.into() };
            assert_eq!(cause(&failure), cause_of, "{said}");
        }
    }

    #[test]
    fn a_broken_connection_is_told_with_all_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("request to http://store/bucket/a?X-Amz-Signature=secret failed")]
        struct Request(#[source] std::io::Error);
        let broken = Request(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "Connection reset by peer"));
        let failure = Failure::Generic { store: "S3", source: Box::new(broken) };
        assert_eq!(cause(&failure), Cause::Broken);
        let said = words(&failure);
        assert!(
            said.contains("http://store/bucket/a failed") && said.ends_with(": Connection reset by peer"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}
