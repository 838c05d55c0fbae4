//! `millstream sign`: signed URLs and cookies in CloudFront's format.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::rand::SystemRandom;
use clap::Args;
use millstream_access::signed::sign::Terms;
use millstream_access::signed::{Hash, Policy, PrivateKey, Signed};
use millstream_media::time::Clock as _;

use crate::clock::SystemClock;

/// `millstream sign`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream sign https://tv.example/live/news/index.m3u8 --key-file K.private.pem --key-pair-id K2J --expires 1h
  millstream sign https://tv.example/live/news/index.m3u8 --resource 'https://tv.example/live/news/*' \\
      --key-file K.private.pem --key-pair-id K2J --expires 1900000000 --ip 192.0.2.0/24
  millstream sign 'https://tv.example/live/news/*' --cookies --key-file K.private.pem --key-pair-id K2J --expires 1h

A live stream is many URLs: sign a --resource with a wildcard, or cookies. See docs/access.md.")]
pub struct SignArgs {
    /// The URL; with --cookies it may have wildcards
    pub url: String,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// Id of the key pair, as the server or CloudFront knows it
    #[arg(long, value_name = "ID")]
    pub key_pair_id: String,
    /// When it ends: seconds of the epoch, or from now on such as 90s, 10m, 1h, 7d
    #[arg(long, value_name = "TIME", required_unless_present = "policy")]
    pub expires: Option<String>,
    /// When it begins, in the same form
    #[arg(long, value_name = "TIME")]
    pub not_before: Option<String>,
    /// Only for viewers from these IPv4 addresses
    #[arg(long, value_name = "ADDRESS/LENGTH")]
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
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Prints the signed URL, or the cookies one a line.
///
/// # Errors
/// If the key cannot be read, or the policy would be refused.
pub fn run_sign(arguments: &SignArgs) -> Result<()> {
    let file = &arguments.key_file;
    let pem =
        std::fs::read(file).with_context(|| format!("the key {} cannot be read; check --key-file", file.display()))?;
    let key = PrivateKey::from_pem(&pem).with_context(|| format!("the key {} cannot be used", file.display()))?;
    let now = u64::try_from(SystemClock::new().utc().0 / 1_000_000_000).unwrap_or(0);
    let terms = terms(arguments, now)?;
    let hash = if arguments.hash == "sha1" { Hash::Sha1 } else { Hash::Sha256 };
    let signed = Signed::over(hash, &arguments.url, &terms, &arguments.key_pair_id, &key, &SystemRandom::new())?;
    let (url, cookies) = (signed.url(&arguments.url), signed.cookies());
    match (arguments.json, arguments.cookies) {
        (true, true) => println!("{}", serde_json::json!({"cookies": std::collections::BTreeMap::from_iter(cookies)})),
        (true, false) => println!("{}", serde_json::json!({"url": url})),
        (false, true) => cookies.iter().for_each(|(name, value)| println!("{name}={value}")),
        (false, false) => println!("{url}"),
    }
    Ok(())
}

fn terms(arguments: &SignArgs, now: u64) -> Result<Terms> {
    if let Some(file) = &arguments.policy {
        let text = std::fs::read_to_string(file);
        return Ok(Terms::Text(text.with_context(|| format!("the policy {} cannot be read", file.display()))?));
    }
    let Some(expires) = &arguments.expires else { bail!("give --expires, or --policy") };
    let expires = time(expires, now)?;
    let not_before = arguments.not_before.as_deref().map(|text| time(text, now)).transpose()?;
    let canned = not_before.is_none() && arguments.ip.is_none() && arguments.resource.is_none();
    if canned && !arguments.url.contains('*') {
        return Ok(Terms::Until(expires));
    }
    let resource = arguments.resource.clone().unwrap_or_else(|| arguments.url.clone());
    Ok(Terms::Custom(Policy { resource, expires, not_before, source: arguments.ip.clone() }))
}

/// Seconds of the epoch, from a text such as `1900000000` or `10m`.
pub(super) fn time(text: &str, now: u64) -> Result<u64> {
    let unit = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)].into_iter();
    let mut relative = unit.filter_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (digits, factor) = relative.next().map_or((text, None), |(digits, seconds)| (digits, Some(seconds)));
    let number: u64 =
        digits.parse().with_context(|| format!("{text:?} is no time; write 1900000000, 90s, 10m, 1h or 7d"))?;
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
        for wrong in ["", "h", "1.5h", "-1", "tomorrow"] {
            assert!(time(wrong, 1000).is_err(), "{wrong}");
        }
    }
}
