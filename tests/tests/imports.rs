//! Imports: files of several kinds become assets that play, no picture of them is lost, broken ones are told apart, and a
//! killed server goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_tests::client::get;
use millstream_tests::{Server, wait_for};
use serde_json::Value;

const DONE: Duration = Duration::from_secs(120);

/// Makes a file with the `ffmpeg` command; options separated by spaces.
fn make(server: &Server, name: &str, options: &str) -> PathBuf {
    let path = server.folder().join(name);
    let out = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-threads", "1"])
        .args(options.split(' '))
        .arg(&path)
        .output()
        .unwrap();
    assert!(out.status.success(), "{options}: {}", String::from_utf8_lossy(&out.stderr));
    path
}

fn lavfi(size: &str, rate: u32, seconds: u32) -> String {
    format!(
        "-f lavfi -i testsrc2=size={size}:rate={rate}:duration={seconds} -f lavfi -i sine=sample_rate=48000:duration={seconds}"
    )
}

/// Imports a file by the command line; the server's JSON.
fn import(server: &Server, path: &Path, more: &[&str]) -> Result<Value, String> {
    let mut arguments = vec!["asset", "import", path.to_str().unwrap(), "--json"];
    arguments.extend(more);
    server.command(&arguments).map(|text| serde_json::from_str(&text).unwrap())
}

/// Pictures and seconds of a rendition, by ffprobe.
fn probe(url: &str, stream: &str) -> (u64, f64) {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-select_streams", stream, "-show_entries"])
        .args(["stream=nb_read_packets:format=duration", "-of", "json", url])
        .output()
        .unwrap();
    let value: Value = serde_json::from_slice(&out.stdout).unwrap();
    let count = value["streams"][0]["nb_read_packets"].as_str().unwrap_or("0").parse().unwrap();
    (count, value["format"]["duration"].as_str().unwrap_or("0").parse().unwrap())
}

/// The asset keeps the rules of HLS and DASH, and has these pictures.
fn check(server: &Server, import: &Value, pictures: u64) {
    let (hls, dash) = (server.url(import["hls"].as_str().unwrap()), server.url(import["dash"].as_str().unwrap()));
    for url in [&hls, &dash] {
        let said = server.command(&["check", url]);
        assert!(said.is_ok(), "{url}: {said:?}");
    }
    let (count, seconds) = probe(&hls, "v:0");
    assert_eq!(count, pictures, "{import}");
    let end = import["duration_seconds"].as_f64().unwrap();
    assert!((seconds - end).abs() < 0.2, "{seconds} s of {end} s");
    assert_eq!(probe(&dash, "v:0").0, pictures);
}

#[test]
fn an_mp4_becomes_an_asset_with_every_picture() {
    let server = Server::start(&[]);
    let file = make(
        &server,
        "A Talk.mp4",
        &format!("{} -c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -c:a aac", lavfi("640x360", 30, 7)),
    );
    let done = import(&server, &file, &["--title", "The talk"]).unwrap();
    assert_eq!(
        (&done["state"], &done["asset"], &done["share"]),
        (&"done".into(), &"a-talk".into(), &1.0.into()),
        "{done}"
    );
    assert_eq!(done["notes"], Value::Array(Vec::new()), "{done}");
    check(&server, &done, 210);
    let shown: Value = serde_json::from_str(&server.command(&["asset", "show", "a-talk", "--json"]).unwrap()).unwrap();
    assert_eq!(
        (&shown["kind"], &shown["title"], &shown["state"]),
        (&"import".into(), &"The talk".into(), &"ended".into())
    );
    // A poster and a storyboard, and those of a clip.
    let pictures = |asset: &str, sheet: &str| {
        let tiles = get(&server.url(&format!("/vod/{asset}/storyboard.vtt"))).unwrap();
        let text = String::from_utf8(tiles.body.to_vec()).unwrap();
        assert!(text.contains(sheet), "{asset}: {text}");
        let list = get(&server.url(&format!("/vod/{asset}/storyboard.m3u8"))).unwrap();
        assert!(String::from_utf8(list.body.to_vec()).unwrap().contains("storyboard-0.jpg"));
        for path in [format!("{asset}/poster.jpg"), "a-talk/storyboard-0.jpg".to_owned()] {
            let picture = get(&server.url(&format!("/vod/{path}"))).unwrap();
            assert_eq!((picture.status, &picture.body[..2]), (200, &[0xff, 0xd8][..]), "{path}");
        }
    };
    pictures("a-talk", "storyboard-0.jpg");
    let start = "1970-01-01T00:00:04Z";
    let clip = ["asset", "clip", "--asset", "a-talk", "--start", start, "--end", "1970-01-01T00:00:06Z", "--json"];
    let clip: Value = serde_json::from_str(&server.command(&clip).unwrap()).unwrap();
    pictures(clip["id"].as_str().unwrap(), "../a-talk/storyboard-0.jpg");
    // The uploaded file is not kept.
    let spool = std::fs::read_dir(server.folder().join("data/imports")).unwrap().flatten();
    assert!(spool.into_iter().all(|f| f.path().extension().is_none_or(|e| e != "media")));
    // The same file again is another asset.
    assert_eq!(import(&server, &file, &[]).unwrap()["asset"], "a-talk-2");
}

#[test]
fn other_containers_and_codecs_are_read() {
    let server = Server::start(&[]);
    for (name, options, pictures) in [
        (
            "film.webm",
            format!(
                "{} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 300k -c:a libopus",
                lavfi("320x180", 25, 4)
            ),
            100,
        ),
        (
            "tape.ts",
            format!("{} -c:v mpeg2video -flags +ildct+ilme -b:v 2M -c:a mp2 -ac 2", lavfi("352x288", 25, 4)),
            100,
        ),
        // Odd sizes, a rate of its own, 5.1 sound, times that begin late.
        (
            "odd.mkv",
            format!(
                "{} -output_ts_offset 5 -c:v libx264 -preset ultrafast -pix_fmt yuv444p -c:a ac3 -ac 6",
                lavfi("333x187", 15, 4)
            ),
            60,
        ),
    ] {
        let file = make(&server, name, &options);
        let done = import(&server, &file, &[]).unwrap();
        assert_eq!((&done["state"], &done["notes"]), (&"done".into(), &Value::Array(Vec::new())), "{done}");
        check(&server, &done, pictures);
    }
}

#[test]
fn sound_alone_and_pictures_alone_are_imported() {
    let server = Server::start(&[]);
    let sound = make(&server, "sound.m4a", "-f lavfi -i sine=sample_rate=44100:duration=5 -c:a aac");
    let done = import(&server, &sound, &[]).unwrap();
    assert_eq!(done["state"], "done", "{done}");
    let (_, seconds) = probe(&server.url(done["hls"].as_str().unwrap()), "a:0");
    assert!((seconds - 5.0).abs() < 0.2, "{seconds}");
    let silent = make(
        &server,
        "silent.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=30:duration=3 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    );
    let done = import(&server, &silent, &[]).unwrap();
    check(&server, &done, 90);
}

#[test]
fn what_cannot_be_imported_is_told_with_its_cause() {
    let server = Server::start(&[]);
    let whole = make(
        &server,
        "whole.mp4",
        &format!("{} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac", lavfi("320x180", 30, 6)),
    );
    let bytes = std::fs::read(&whole).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = server.folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let protected = make(
        &server,
        "drm.mp4",
        &format!(
            "-i {} -c copy -encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff -encryption_kid \
             00112233445566778899aabbccddeeff",
            whole.display()
        ),
    );
    for (path, cause) in [
        (server.folder().join("none.mp4"), "no such file"),
        (write("empty.mp4", b""), "empty"),
        (write("text.mp4", "no media at all\n".repeat(1000).as_bytes()), "no media"),
        (write("cut.mp4", &bytes[..bytes.len() / 2]), "truncated"),
        (write("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"), ""),
        (protected, "encrypted"),
    ] {
        let error = import(&server, &path, &[]).unwrap_err();
        assert!(error.contains(cause) && error.contains("cannot be imported"), "{}: {error}", path.display());
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    }
    // What is there of a file whose end is missing is imported, and the loss is told.
    let stream = make(
        &server,
        "stream.mkv",
        &format!("{} -c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -c:a aac", lavfi("320x180", 30, 8)),
    );
    let bytes = std::fs::read(&stream).unwrap();
    let done = import(&server, &write("half.mkv", &bytes[..bytes.len() / 2]), &[]).unwrap();
    assert_eq!(done["state"], "done", "{done}");
    assert!(done["notes"][0].as_str().unwrap().contains("truncated"), "{done}");
    assert!(server.command(&["check", &server.url(done["hls"].as_str().unwrap())]).is_ok());
}

/// Segments of the highest rendition, with their times of change.
fn stored(server: &Server, asset: &str) -> Vec<(u64, std::time::SystemTime)> {
    let folder = server.folder().join("data/store/vod").join(asset).join("360p");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |f: &std::fs::DirEntry| f.file_name().to_str()?.strip_suffix(".m4s")?.parse().ok();
    files.filter_map(|f| Some((number(&f)?, f.metadata().ok()?.modified().ok()?))).collect()
}

#[test]
fn a_killed_server_goes_on_with_the_import_and_makes_nothing_twice() {
    let mut server = Server::start(&[]);
    let file = make(
        &server,
        "long.mp4",
        &format!("{} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac", lavfi("640x360", 30, 90)),
    );
    import(&server, &file, &["--detach"]).unwrap();
    let before = wait_for("some segments", DONE, || Some(stored(&server, "long")).filter(|s| s.len() >= 5));
    let workers = server.kill();
    for worker in workers {
        millstream_tests::process::signal(worker, "KILL");
    }
    let before: Vec<_> = before.into_iter().filter(|(n, _)| *n <= 3).collect();
    server.start_again();
    // The same command finds the import that goes on.
    let done = import(&server, &file, &[]).unwrap();
    assert_eq!((&done["state"], &done["asset"]), (&"done".into(), &"long".into()), "{done}");
    check(&server, &done, 2700);
    let after = stored(&server, "long");
    assert!(before.iter().all(|segment| after.contains(segment)), "a stored segment was made again");
    assert!(server.log().contains("the import goes on"), "{}", server.log());
    for sheet in [0, 1] {
        assert!(server.folder().join(format!("data/store/vod/long/storyboard-{sheet}.jpg")).is_file(), "sheet {sheet}");
    }
    let playlist = std::fs::read_to_string(server.folder().join("data/store/vod/long/360p/index.m3u8")).unwrap();
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && !playlist.contains("GAP"), "{playlist}");
}

#[test]
fn an_upload_goes_on_at_its_offset() {
    let server = Server::start(&[]);
    let file = make(
        &server,
        "piece.mp4",
        &format!("{} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac", lavfi("320x180", 30, 3)),
    );
    let bytes = std::fs::read(&file).unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let half = bytes.len() / 2;
    let created = agent
        .post(server.url("/api/v1/imports"))
        .header("tus-resumable", "1.0.0")
        .header("upload-length", bytes.len().to_string())
        .header("upload-metadata", "filename cGllY2UubXA0,title QSBwaWVjZQ==")
        .send_empty()
        .unwrap();
    assert_eq!(created.status(), 201);
    let url = server.url(created.headers()["location"].to_str().unwrap());
    let append = |offset: usize, piece: &[u8]| {
        let request = agent.patch(&url).header("content-type", "application/offset+octet-stream");
        let answer = request.header("upload-offset", offset.to_string()).send(piece).unwrap();
        let at = answer.headers().get("upload-offset").map(|v| v.to_str().unwrap().to_owned());
        (answer.status().as_u16(), at)
    };
    assert_eq!(append(0, &bytes[..half]), (204, Some(half.to_string())));
    assert_eq!(append(0, &bytes[..half]).0, 409);
    let head = agent.head(&url).call().unwrap();
    assert_eq!(head.headers()["upload-offset"].to_str().unwrap(), half.to_string());
    // The command line goes on with it where it can; another client's upload is another import.
    assert_eq!(append(half, &bytes[half..]), (204, Some(bytes.len().to_string())));
    let id = url.trim_end_matches("/file").rsplit('/').next().unwrap().to_owned();
    let show = || millstream_tests::client::get_json(&server.url(&format!("/api/v1/imports/{id}")));
    let done = wait_for("the import", DONE, || show().filter(|i| i["state"] == "done" || i["state"] == "failed"));
    assert_eq!((&done["state"], &done["title"]), (&"done".into(), &"A piece".into()), "{done}");
    check(&server, &done, 90);
}
