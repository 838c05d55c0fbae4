//! Replays a target's corpus in the ordinary tests: what once broke a parser, or leads deep into it, is tried at every
//! run.

/// Runs `check` over each file of `fuzz/corpus/TARGET`, which may not be empty.
pub fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let read = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        println!("{}", file.display());
        check(&std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
}
