//! Profiles of the AWS command line: `~/.aws/credentials` and `~/.aws/config`, as far as they hold keys and a region.

use std::collections::BTreeMap;

/// The settings of `profile` in the texts of the credentials and the config file, by their names there.
pub(super) fn read(profile: &str, credentials: &str, config: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // In the config file a profile's section is called [profile NAME], but for [default].
    section(config, &format!("profile {profile}"), &mut found);
    if profile == "default" {
        section(config, "default", &mut found);
    }
    section(credentials, profile, &mut found);
    found
}

fn section(text: &str, wanted: &str, found: &mut BTreeMap<String, String>) {
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            inside = name.split_whitespace().eq(wanted.split_whitespace());
        } else if inside
            && !trimmed.starts_with(['#', ';'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_win_over_config() {
        let credentials =
            "[default]\naws_access_key_id=A\n[live]\naws_access_key_id = B\naws_secret_access_key = s=/+\n";
        let config = "[default]\nregion = eu-west-1\n[profile live]\n# a remark = x\nregion = us-east-2\n";
        let live = read("live", credentials, config);
        assert_eq!(live.get("aws_access_key_id").map(String::as_str), Some("B"));
        assert_eq!(live.get("aws_secret_access_key").map(String::as_str), Some("s=/+"));
        assert_eq!(live.get("region").map(String::as_str), Some("us-east-2"));
        assert_eq!(read("default", credentials, config).get("region").map(String::as_str), Some("eu-west-1"));
        assert!(read("other", credentials, config).is_empty());
    }
}
