//! `millstream sign`: signed URLs and cookies in CloudFront's format.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use clap::Args;
use millstream_access::signed::sign::Terms;
use millstream_access::signed::{Hash, Policy, PrivateKey, Signed};
use millstream_control::signing::{NoKey, SigningKeys, Wanted};
use millstream_media::time::{Clock as _, UtcTime};

use crate::clock::SystemClock;
use crate::{config, modes};

/// `millstream sign`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream sign https://tv.example/live/news/index.m3u8 --resource 'https://tv.example/live/news/*' --expires 1h
  millstream sign 'https://tv.example/live/news/*' --cookies --key-group partners --expires 1h
  millstream sign https://tv.example/vod/a/asset.mp4 --key-file K.private.pem --key-pair-id K2J --expires 1900000000
  millstream sign https://tv.example/live/news/index.m3u8 --resource 'https://tv.example/live/news/*' \\
      --key-file K.private.pem --key-pair-id K2J --expires 2026-12-01T20:00:00Z --ip 192.0.2.0/24

Without --key-file it signs with a key of the server, from `millstream key create --for-api`. The arguments of
`aws cloudfront sign` are understood as they are. A live stream is many URLs: sign a --resource with a wildcard, or
cookies. See docs/access.md.")]
pub struct SignArgs {
    /// The URL; with --cookies it may have wildcards
    #[arg(required_unless_present = "named_url")]
    pub url: Option<String>,
    /// The URL, as `aws cloudfront sign` names it
    #[arg(long = "url", value_name = "URL", hide = true, conflicts_with = "url")]
    pub named_url: Option<String>,
    /// PEM file with the private key [default: a key of the server's signing folder]
    #[arg(long, value_name = "FILE", visible_alias = "private-key", requires = "key_pair_id")]
    pub key_file: Option<PathBuf>,
    /// Id of the key pair, as the server or CloudFront knows it [default: the only one of the signing folder]
    #[arg(long, value_name = "ID")]
    pub key_pair_id: Option<String>,
    /// Key group whose key signs: of several the oldest, until its file is removed
    #[arg(long, value_name = "NAME", conflicts_with = "key_file")]
    pub key_group: Option<String>,
    /// When it ends: from now on such as 90s, 10m, 1h, 7d; a date or time in UTC or RFC 3339; or seconds of the epoch
    #[arg(long, value_name = "TIME", visible_alias = "date-less-than", required_unless_present = "policy")]
    pub expires: Option<String>,
    /// When it begins, in the same form
    #[arg(long, value_name = "TIME", visible_alias = "date-greater-than")]
    pub not_before: Option<String>,
    /// Only for viewers from these IPv4 addresses
    #[arg(long, value_name = "ADDRESS/LENGTH", visible_alias = "ip-address")]
    pub ip: Option<String>,
    /// What it covers, with wildcards, instead of the URL alone
    #[arg(long, value_name = "URL")]
    pub resource: Option<String>,
    /// File with a custom policy, signed as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["expires", "not_before", "ip", "resource"])]
    pub policy: Option<PathBuf>,
    /// Hash that is signed over; sha1 is for what knows no other
    #[arg(long, value_name = "HASH", default_value = "sha256", value_parser = ["sha256", "sha1"])]
    pub hash: String,
    /// Print cookies instead of a URL
    #[arg(long)]
    pub cookies: bool,
    /// Configuration file of the server, for its signing folder
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub config: Option<PathBuf>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Prints the signed URL, or the cookies one a line.
///
/// # Errors
/// If the key cannot be read, or the policy would be refused.
pub fn run_sign(arguments: &SignArgs) -> Result<()> {
    let Some(url) = arguments.url.as_ref().or(arguments.named_url.as_ref()) else { bail!("give a URL") };
    let (id, key) = match (&arguments.key_file, &arguments.key_pair_id) {
        (Some(file), Some(id)) => (id.clone(), of_file(file)?),
        _ => of_server(arguments)?,
    };
    let now = u64::try_from(SystemClock::new().utc().0 / 1_000_000_000).unwrap_or(0);
    let terms = terms(arguments, url, now)?;
    let hash = if arguments.hash == "sha1" { Hash::Sha1 } else { Hash::Sha256 };
    let signed = Signed::over(hash, url, &terms, &id, &key, &SystemRandom::new())?;
    let (url, cookies) = (signed.url(url), signed.cookies());
    match (arguments.json, arguments.cookies) {
        (true, true) => println!("{}", serde_json::json!({"cookies": std::collections::BTreeMap::from_iter(cookies)})),
        (true, false) => println!("{}", serde_json::json!({"url": url})),
        (false, true) => cookies.iter().for_each(|(name, value)| println!("{name}={value}")),
        (false, false) => println!("{url}"),
    }
    Ok(())
}

fn of_file(file: &Path) -> Result<PrivateKey> {
    // The AWS command line names files so.
    let file = file.to_str().and_then(|text| text.strip_prefix("file://")).map_or(file, Path::new);
    let pem =
        std::fs::read(file).with_context(|| format!("the key {} cannot be read; check --key-file", file.display()))?;
    if modes::others_may_read(file) {
        eprintln!("warning: others may read the key {0}; run chmod 600 {0}", file.display());
    }
    PrivateKey::from_pem(&pem).with_context(|| format!("the key {} cannot be used", file.display()))
}

fn of_server(arguments: &SignArgs) -> Result<(String, PrivateKey)> {
    let folder = config::load(arguments.config.as_deref(), &config::Flags::default())?.config.signing_folder();
    let wanted = Wanted { id: arguments.key_pair_id.as_deref(), group: arguments.key_group.as_deref() };
    SigningKeys::new(folder.clone()).find(wanted).map_err(|error| match error {
        NoKey::Several => anyhow::anyhow!(
            "there are several private keys in {}; choose one with --key-pair-id, or its group with --key-group",
            folder.display()
        ),
        NoKey::Empty => anyhow::anyhow!(
            "there is no private key in {}; make one with `millstream key create --for-api`, or name a file with \
             --key-file and its id with --key-pair-id",
            folder.display()
        ),
        other => anyhow::Error::new(other).context(format!("no key of {} can sign", folder.display())),
    })
}

fn terms(arguments: &SignArgs, url: &str, now: u64) -> Result<Terms> {
    if let Some(file) = &arguments.policy {
        let text = std::fs::read_to_string(file);
        return Ok(Terms::Text(text.with_context(|| format!("the policy {} cannot be read", file.display()))?));
    }
    let Some(expires) = &arguments.expires else { bail!("give --expires, or --policy") };
    let expires = time(expires, now)?;
    let not_before = arguments.not_before.as_deref().map(|text| time(text, now)).transpose()?;
    let canned = not_before.is_none() && arguments.ip.is_none() && arguments.resource.is_none();
    if canned && !url.contains('*') {
        return Ok(Terms::Until(expires));
    }
    let resource = arguments.resource.clone().unwrap_or_else(|| url.to_owned());
    Ok(Terms::Custom(Policy { resource, expires, not_before, source: arguments.ip.clone() }))
}

/// Seconds of the epoch, from a text such as `1900000000`, `10m`, `2026-12-01`, `2026-12-01T20:00:00` (UTC) or RFC 3339.
pub(super) fn time(text: &str, now: u64) -> Result<u64> {
    let dated = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
    if let Some(time) = dated.iter().find_map(|text| UtcTime::from_iso8601(text)) {
        return u64::try_from(time.as_millis() / 1000).with_context(|| format!("{text} lies before 1970"));
    }
    let unit = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)].into_iter();
    let mut relative = unit.filter_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (digits, factor) = relative.next().map_or((text, None), |(digits, seconds)| (digits, Some(seconds)));
    let number: u64 = digits.parse().map_err(|_| {
        anyhow!("{text:?} is no time; write 1900000000, 90s, 10m, 1h, 7d, 2026-12-01 or 2026-12-01T20:00:00Z")
    })?;
    Ok(factor.map_or(number, |factor| now.saturating_add(number.saturating_mul(factor))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, want) in [("1900000000", 1_900_000_000), ("90s", 1090), ("10m", 1600), ("1h", 4600), ("7d", 605_800)]
        {
            assert_eq!(time(text, 1000).unwrap(), want, "{text}");
        }
        for text in ["2026-12-01", "2026-12-01T00:00:00", "2026-12-01T00:00:00Z", "2026-12-01T02:00:00+02:00"] {
            assert_eq!(time(text, 1000).unwrap(), 1_796_083_200, "{text}");
        }
        for wrong in ["", "h", "1.5h", "-1", "tomorrow", "2026-13-01", "1969-12-31", "2026-12-01T"] {
            assert!(time(wrong, 1000).is_err(), "{wrong}");
        }
    }
}
