//! One test for each trap of precedence and each kind of mistake.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::address::Address;
use super::super::settings::LogFormat;
use super::*;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn from_file(text: &str) -> Result<Config, String> {
    effective(Some((Path::new("m.toml"), text)), &BTreeMap::new(), &Flags::default())
        .map(|(config, _)| config)
        .map_err(|errors| errors.to_string())
}

#[test]
fn nothing_given_is_the_contracts_defaults() {
    let (config, warnings) = effective(None, &BTreeMap::new(), &Flags::default()).unwrap();
    assert_eq!(config, Config::default());
    assert!(warnings.is_empty());
    assert_eq!(config.server.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ingest.rtmp.to_string(), "127.0.0.1:1935");
    assert_eq!(config.ingest.srt.to_string(), "127.0.0.1:8890");
    assert_eq!(config.ingest.webrtc.to_string(), "127.0.0.1:8189");
    assert_eq!(config.store_folder(), Path::new("./millstream-data/store"));
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let file = "[server]\nhttp = \"127.0.0.1:1\"\ndata_dir = \"file\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n";
    let file = Some((Path::new("m.toml"), file));
    let env = environment(&[("MILLSTREAM_SERVER_HTTP", "127.0.0.1:2"), ("MILLSTREAM_LOG_LEVEL", "debug")]);
    let flags = Flags { http: Some("127.0.0.1:3".into()), ..Flags::default() };
    let http = |config: &Config| config.server.http.get().map(|a| a.port());

    let (config, _) = effective(file, &BTreeMap::new(), &Flags::default()).unwrap();
    assert_eq!((http(&config), config.log.level.as_str()), (Some(1), "warn"));
    let (config, _) = effective(file, &env, &Flags::default()).unwrap();
    assert_eq!((http(&config), config.log.level.as_str()), (Some(2), "debug"));
    let (config, _) = effective(file, &env, &flags).unwrap();
    assert_eq!((http(&config), config.log.level.as_str()), (Some(3), "debug"));
    // Other keys of a section that a later layer touches stay as the file has them.
    assert_eq!((config.server.data_dir.as_path(), config.log.format), (Path::new("file"), LogFormat::Json));
}

/// A flag that is not given must not put its default over the file.
#[test]
fn an_absent_flag_changes_nothing() {
    let config = from_file("[ingest]\nrtmp = \"0.0.0.0:1936\"\n").unwrap();
    assert_eq!(config.ingest.rtmp.to_string(), "0.0.0.0:1936");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let file = Some((Path::new("m.toml"), "[server]\nhttp = \"127.0.0.1:1\"\n"));
    let env = environment(&[("MILLSTREAM_SERVER_HTTP", "")]);
    let (config, _) = effective(file, &env, &Flags::default()).unwrap();
    assert_eq!(config.server.http.to_string(), "127.0.0.1:1");
}

#[test]
fn a_value_that_a_later_layer_replaces_must_still_be_right_to_be_used() {
    let file = Some((Path::new("m.toml"), "[server]\nhttp = \"nonsense\"\n"));
    let env = environment(&[("MILLSTREAM_SERVER_HTTP", "127.0.0.1:2")]);
    let (config, _) = effective(file, &env, &Flags::default()).unwrap();
    assert_eq!(config.server.http.to_string(), "127.0.0.1:2", "what is replaced is not looked at");
}

#[test]
fn variables_become_the_kind_of_the_setting() {
    let env = environment(&[
        ("MILLSTREAM_LIMITS_HTTP_CONNECTIONS", "77"),
        ("MILLSTREAM_SERVER_DRAIN_SECONDS", "2.5"),
        ("MILLSTREAM_SERVER_HOSTS", "a.example, b.example"),
        ("MILLSTREAM_SERVER_DATA_DIR", "123"),
        ("MILLSTREAM_INGEST_SRT", "off"),
    ]);
    let (config, _) = effective(None, &env, &Flags::default()).unwrap();
    assert_eq!(config.limits.http_connections, 77);
    assert_eq!(config.server.drain_seconds.millis(), 2500);
    assert_eq!(config.server.hosts, ["a.example", "b.example"]);
    assert_eq!(config.server.data_dir, Path::new("123"), "a folder named like a number stays text");
    assert_eq!(config.ingest.srt, Address::OFF);
}

#[test]
fn a_foreign_variable_is_no_error() {
    let env = environment(&[
        ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
        ("MILLSTREAM_PORT", "tcp://10.0.0.1:80"),
        ("MILLSTREAM_SERVER_HTPP", "127.0.0.1:2"),
        ("HTTP", "x"),
    ]);
    let (config, warnings) = effective(None, &env, &Flags::default()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(
        warnings,
        ["the environment variable MILLSTREAM_SERVER_HTPP names no setting; did you mean MILLSTREAM_SERVER_HTTP?"]
    );
}

#[test]
fn the_source_of_a_bad_value_is_named() {
    let env = environment(&[("MILLSTREAM_LIMITS_HTTP_CONNECTIONS", "many")]);
    let flags = Flags { rtmp: Some("1935".into()), ..Flags::default() };
    let errors = effective(None, &env, &flags).unwrap_err().to_string();
    assert!(errors.contains("MILLSTREAM_LIMITS_HTTP_CONNECTIONS: limits.http_connections is not valid"), "{errors}");
    assert!(errors.contains("--rtmp: ingest.rtmp is not valid: \"1935\" is no address; write IP:PORT"), "{errors}");
}

#[test]
fn mistakes_in_the_file_name_the_line_and_the_mend() {
    for (text, message) in [
        ("[server]\n\nhtpp = 1\n", "m.toml:3: htpp is not a key of [server]; did you mean http?"),
        ("[ingest]\nhttp = \"x\"\n", "m.toml:2: http is a key of [server], not of [ingest]; move it there"),
        ("http = \"x\"\n", "m.toml:1: http is a key of [server]; write it below that line"),
        ("\n[sevrer]\n", "m.toml:2: [sevrer] is not a section; did you mean [server]?"),
        ("[channels]\nname = \"a\"\n", "m.toml:1: [channels] is not a section; did you mean [[channel]]?"),
        ("[channel]\nname = \"a\"\n", "m.toml:1: channel is not a list; write each channel under its own [[channel]]"),
        ("server = 1\n", "m.toml:1: server is a section; write [server] and its keys below it"),
        ("[server]\nhttp = \"off\"\n", "m.toml:2: server.http cannot be off; give an address such as 127.0.0.1:8080"),
        (
            "[archive]\nurl = \"ftp://b\"\n",
            "m.toml:2: archive.url is \"ftp://b\"; use file://FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, or leave it out",
        ),
        ("[limits]\nrtmp_connections = 0\n", "m.toml:2: limits.rtmp_connections is 0; use 1 to 10000"),
        (
            "[log]\nformat = \"xml\"\n",
            "m.toml:2: log.format is not valid: unknown variant `xml`, expected `text` or `json`",
        ),
        (
            "[[channel]]\nname = \"a\"\n\n[[channel]]\nname = \"b\"\nsegment_secs = 3\n",
            "m.toml:6: channel b: segment_secs is not a setting of a channel; did you mean segment_seconds?",
        ),
        ("[[channel]]\nname = \"a\"\ndvr_seconds = -1\n", "m.toml:3: channel a: dvr_seconds is not valid"),
        ("[[channel]]\ntitle = \"a\"\n", "m.toml:1: channel without a name: name is missing"),
        ("[[channel]]\nname = \"a\"\n[[channel]]\nname = \"a\"\n", "m.toml:4: channel a is there twice"),
    ] {
        let error = from_file(text).unwrap_err();
        assert!(error.starts_with(message), "{text:?}\n{error}\n{message}");
    }
    let syntax = from_file("[server]\nhttp = \n").unwrap_err();
    assert!(syntax.starts_with("m.toml:2: ") && !syntax.contains('\n'), "{syntax}");
}

#[test]
fn a_level_that_would_silence_the_log_is_refused() {
    let flags = Flags { log_level: Some("loud".into()), ..Flags::default() };
    let error = effective(None, &BTreeMap::new(), &flags).unwrap_err().to_string();
    assert!(error.starts_with("--log-level: log.level is not valid: log level \"loud\" is not understood"), "{error}");
}

#[test]
fn what_has_no_effect_yet_is_noted() {
    assert_eq!(Config::default().notes().len(), 2);
    let config = from_file("[ingest]\nsrt = \"off\"\nwebrtc = \"0.0.0.0:8189\"\n").unwrap();
    assert_eq!(config.notes(), ["ingest.webrtc = 0.0.0.0:8189 is kept; its listener comes with a later version"]);
}

#[test]
fn the_example_of_the_reference_page_is_right() {
    let page = crate::config::reference::page();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = from_file(example).unwrap();
    let ladder = config.channel.first().and_then(|c| c.ladder.clone()).unwrap();
    assert_eq!((ladder.video.len(), ladder.audio.bit_rate), (2, 96_000));
}

#[test]
fn all_mistakes_are_told_at_once_and_no_key_with_them() {
    let error = from_file("[server]\nhtpp = 1\n[[channel]]\nname = \"a\"\nstream_key = \"geheim!\"\n").unwrap_err();
    assert!(error.contains("m.toml:2:") && error.contains("m.toml:5: channel a: stream_key is not valid"), "{error}");
    assert!(!error.contains("geheim"), "{error}");
}

#[test]
fn what_is_printed_reads_back_without_secrets() {
    let text = "[server]\ndrain_seconds = 2.5\n[[channel]]\nname = \"a\"\nstream_key = \"very-secret-key\"\npart_seconds = 0.25\n\n[[channel]]\nname = \"b\"\n";
    let config = from_file(text).unwrap();
    let printed = config.to_toml().unwrap();
    assert!(!printed.contains("very-secret"), "{printed}");
    assert_eq!(printed.matches("stream_key = \"(redacted)\"").count(), 1, "{printed}");
    let mut again = from_file(&printed.replace("(redacted)", "very-secret-key")).unwrap();
    assert_eq!(again, config);
    again.channel.clear();
    assert_eq!(from_file(&again.to_toml().unwrap()).unwrap(), again);
}
