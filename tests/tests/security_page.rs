//! docs/security.md names a test for each threat: every file that it names is there and has tests, and every fuzz target.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use millstream_tests::server::binary;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts of a line that stand in backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The rows of the tables between a heading and the next one of its rank, without heads and rules.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let rank = heading.split(' ').next().unwrap();
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with(&format!("{rank} ")));
    let tables =
        lines.filter(|line| line.starts_with('|') && !line.starts_with("| threat") && !line.starts_with("| target"));
    let cells = tables.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|cells| !cells[0].starts_with("---")).collect()
}

/// Whether a file, or one in its folder, has tests; a module may have them beside it, in `NAME/tests.rs` or `NAME_tests.rs`.
fn has_tests(path: &Path) -> bool {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().any(|entry| has_tests(&entry.unwrap().path()));
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let beside = [path.with_extension("").join("tests.rs"), path.with_file_name(format!("{stem}_tests.rs"))];
    ["#[test]", "#[tokio::test", "proptest!", "test("].iter().any(|mark| text.contains(mark))
        || beside.iter().any(|file| file.is_file())
}

#[test]
fn each_threat_names_a_test_that_is_there() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let threats = rows(&page, "## Threats and answers");
    assert!(threats.len() >= 20, "only {} threats are read", threats.len());
    for cells in threats {
        let [threat, answer, held] = cells[..] else { panic!("a row of {} cells: {cells:?}", cells.len()) };
        let files =
            quoted(held).chain(quoted(answer)).filter(|text| text.starts_with("crates/") || text.starts_with("tests/"));
        for file in files {
            let path = root().join(file);
            assert!(path.exists(), "{threat}: {file} is not there");
            assert!(!held.contains(file) || has_tests(&path), "{threat}: {file} has no tests");
        }
        let links_to_fuzzing = held.contains("#fuzzing");
        let names = quoted(held).any(|text| text.starts_with("crates/") || text.starts_with("tests/"));
        assert!(names || links_to_fuzzing, "no test holds the answer to: {threat}");
        for target in quoted(held).filter(|_| held.contains("`fuzz/`")) {
            let is_target = target.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(!is_target || fuzz_target(target).is_file(), "{threat}: no fuzz target {target}");
        }
    }
}

fn fuzz_target(name: &str) -> PathBuf {
    root().join(format!("fuzz/fuzz_targets/{name}.rs"))
}

#[test]
fn the_page_lists_every_fuzz_target_and_no_other() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows = rows(&page, "## Fuzzing");
    let mut listed: Vec<&str> = rows.iter().filter_map(|cells| quoted(cells[0]).next()).collect();
    let files = std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let mut there: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    listed.sort_unstable();
    there.sort();
    assert_eq!(listed, there);
}

/// Files that the rest of the page names, too: the modules that do what it says.
#[test]
fn every_file_that_the_security_pages_name_is_there() {
    for page in ["docs/security.md", "docs/access.md", "docs/origin-protection.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let named = text.lines().flat_map(quoted);
        for file in
            named.filter(|text| ["crates/", "tests/", "scripts/", "docs/"].iter().any(|at| text.starts_with(at)))
        {
            let file = file.split(' ').next().unwrap();
            assert!(root().join(file).exists(), "{page}: {file} is not there");
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                let folder = root().join(page).parent().unwrap().to_owned();
                assert!(folder.join(file).exists(), "{page}: {link} leads nowhere");
            }
        }
    }
}

#[test]
fn the_server_takes_the_configurations_of_the_page() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(blocks.len(), 2, "an origin's and an edge's");
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("millstream.toml");
        std::fs::write(&file, block).unwrap();
        let mut command = Command::new(binary("millstream"));
        let output =
            command.args(["serve", "--print-config", "--config"]).arg(&file).current_dir(folder.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
