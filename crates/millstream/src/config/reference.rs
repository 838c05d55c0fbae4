//! The reference page of the configuration, and the list of known keys: both from the settings' own documentation.

#![cfg_attr(not(test), allow(dead_code, reason = "the page is written and compared by the tests"))]

use std::sync::LazyLock;

use millstream_control::channel::{ChannelConfig, ChannelName};
use serde_json::Value;
use utoipa::PartialSchema;

use super::delivery::{Access, Edge};
use super::layers::variable_name;
use super::operators::Operators;
use super::protection::{Origin, Viewers};
use super::settings::{Archive, Config, Encode, Import, Ingest, Limits, Log, Server};

/// The sections, in the order of the page.
pub const SECTIONS: [&str; 12] = [
    "server",
    "ingest",
    "encode",
    "archive",
    "import",
    "log",
    "limits",
    "edge",
    "access",
    "operators",
    "origin",
    "viewers",
];

struct Section {
    name: &'static str,
    keys: Vec<&'static str>,
    /// Descriptions in the order of `keys`.
    texts: Vec<String>,
}

/// Built once from the schemas that the settings' doc comments make.
static DOCUMENTED: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let schemas = [
        Server::schema(),
        Ingest::schema(),
        Encode::schema(),
        Archive::schema(),
        Import::schema(),
        Log::schema(),
        Limits::schema(),
        Edge::schema(),
        Access::schema(),
        Operators::schema(),
        Origin::schema(),
        Viewers::schema(),
    ];
    SECTIONS
        .into_iter()
        .zip(schemas)
        .map(|(name, schema)| {
            let described = described(&serde_json::to_value(schema).unwrap_or_default());
            let (keys, texts) = described.into_iter().map(|(key, text)| (&*key.leak(), text)).unzip();
            Section { name, keys, texts }
        })
        .collect()
});

/// Keys and descriptions of a schema's properties.
fn described(schema: &Value) -> Vec<(String, String)> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let text = |property: &Value| match property.get("description").and_then(Value::as_str) {
        Some(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        None => String::new(),
    };
    properties.iter().map(|(key, property)| (key.clone(), text(property))).collect()
}

/// The keys of a section.
pub fn keys(section: &str) -> &'static [&'static str] {
    DOCUMENTED.iter().find(|s| s.name == section).map_or(&[], |s| &s.keys)
}

/// `docs/reference/config.md`.
pub fn page() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut page = String::from(HEAD);
    for section in DOCUMENTED.iter() {
        page.push_str(&format!(
            "\n## [{}]\n\n| key | default | variable | what it is |\n|---|---|---|---|\n",
            section.name
        ));
        for (key, text) in section.keys.iter().zip(&section.texts) {
            let default = defaults.get(section.name).and_then(|s| s.get(key)).cloned().unwrap_or_default();
            let variable = variable_name(section.name, key);
            page.push_str(&format!("| `{key}` | `{default}` | `{variable}` | {} |\n", cell(text)));
        }
    }
    page.push_str(CHANNELS);
    let defaults = ChannelName::new("name").ok().map(ChannelConfig::new);
    let defaults = serde_json::to_value(defaults).unwrap_or_default();
    let schema = serde_json::to_value(ChannelConfig::schema()).unwrap_or_default();
    let described = described(&schema);
    for key in ChannelConfig::KEYS {
        let text = described.iter().find(|(k, _)| k == key).map_or("", |(_, text)| text);
        let default = match defaults.get(key) {
            Some(default) if *key != "name" => format!("`{default}`"),
            _ => String::from("–"),
        };
        page.push_str(&format!("| `{key}` | {default} | {} |\n", cell(text)));
    }
    page.push_str(EXAMPLE);
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const HEAD: &str = "# Configuration

<!-- Made from crates/millstream/src/config/settings.rs by `cargo test -p millstream -- --ignored write_reference`. -->

`millstream serve` reads one TOML file: the one named by `--config`, or `millstream.toml` in the current directory if it
is there. Every key is optional. A key that is not known is an error that names the nearest one.

A setting is taken from the first of these that has it: the flag (`--http`, `--rtmp`, `--data-dir`, `--log-level`), the
environment variable, the file, the default. An empty variable counts as not set; a list is written with commas
(`MILLSTREAM_SERVER_HOSTS=a.example,b.example`). `millstream serve --print-config` prints what is in force, without
secrets.
";

const CHANNELS: &str = "
## [[channel]]

One for each channel that the file defines. Channels may also be created through the API or with `millstream channel
create`; where both name a channel, the file wins, and the channel can then be changed only in the file. Times are in
seconds, to the millisecond. A channel without `stream_key` gets one with `millstream channel rotate-key NAME`.

| key | default | what it is |
|---|---|---|
";

const EXAMPLE: &str = "
A channel with a ladder of its own:

```toml
[[channel]]
name = \"news\"
stream_key = \"choose-a-long-one\"
reconnect_seconds = 60

[channel.ladder]
audio = { bit_rate = 96000 }

[[channel.ladder.video]]
height = 720
bit_rate = 2500000

[[channel.ladder.video]]
height = 360
codec = \"h264\"
preset = \"veryfast\"
```
";

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");

    #[test]
    fn the_reference_page_is_current() {
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(written == page(), "run `cargo test -p millstream -- --ignored write_reference`");
    }

    #[test]
    #[ignore = "writes the page"]
    fn write_reference() {
        std::fs::write(PATH, page()).unwrap();
    }

    #[test]
    fn every_setting_is_documented_and_has_a_default() {
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for section in DOCUMENTED.iter() {
            let fields: Vec<_> = defaults[section.name].as_object().unwrap().keys().map(String::as_str).collect();
            let mut keys = section.keys.clone();
            keys.sort_unstable();
            assert_eq!(keys, fields, "[{}]", section.name);
            assert!(section.texts.iter().all(|text| text.len() > 10), "[{}]", section.name);
        }
    }
}
