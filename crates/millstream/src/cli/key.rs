//! `millstream key create`: a key pair that signs, and the public half where the server looks for it.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use millstream_access::signed::PrivateKey;
use millstream_access::signed::sign::KeyType;
use millstream_control::signing;

use crate::{config, modes};

/// `millstream key`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream key create")]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key pair: the private key into a file, the public one into the server's key folder
    Create(CreateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream key create
  millstream key create --for-api
  millstream key create --type ecdsa --out signing-key.pem --group partners

A running server trusts the key within seconds. To rotate: create a new key, sign with it, remove the old file from the
key folder when nothing signed with it is still valid. The public key may also be uploaded to CloudFront.")]
struct CreateArgs {
    /// rsa (2048 bits, known to every player and CDN) or ecdsa (P-256, shorter URLs)
    #[arg(long = "type", value_enum, default_value_t = Type::Rsa)]
    kind: Type,
    /// File for the private key, readable by its owner only [default: KEY-PAIR-ID.private.pem]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the private key where the server's API signs with it
    #[arg(long, conflicts_with = "out")]
    for_api: bool,
    /// Put the public key into this group of the key folder, and with --for-api the private one into the same group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Configuration file of the server, for its key folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    Rsa,
    Ecdsa,
}

/// Runs `millstream key …`.
///
/// # Errors
/// If a file cannot be written; none is overwritten.
pub fn run_key(arguments: &KeyArgs) -> Result<()> {
    let KeyCommand::Create(arguments) = &arguments.command;
    let loaded = config::load(arguments.config.as_deref(), &config::Flags::default())?;
    let mut folder = loaded.config.key_folder();
    if let Some(group) = &arguments.group {
        millstream_access::signed::key::check_id(group).context("a group's name has the form of a key-pair id")?;
        folder.push(group);
    }
    let kind = match arguments.kind {
        Type::Rsa => KeyType::Rsa,
        Type::Ecdsa => KeyType::Ecdsa,
    };
    let (key, private) = PrivateKey::generate(kind)?;
    let id = key.id()?;
    let secret = match (&arguments.out, arguments.for_api) {
        (Some(file), _) => file.clone(),
        (None, false) => signing::file(Path::new(""), None, &id),
        (None, true) => {
            let file = signing::file(&loaded.config.signing_folder(), arguments.group.as_deref(), &id);
            let folder = file.parent().unwrap_or(Path::new("."));
            modes::private_folder(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            file
        }
    };
    write(&secret, &private, 0o600)?;
    if folder.starts_with(&loaded.config.server.data_dir) {
        let data = &loaded.config.server.data_dir;
        modes::private_folder(data).with_context(|| format!("{} cannot be made", data.display()))?;
    }
    // Whoever may write here says what is trusted.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))?;
    let public = folder.join(format!("{id}.pem"));
    write(&public, &key.public_pem()?, 0o644)?;
    if arguments.json {
        let document = serde_json::json!({"key_pair_id": id, "private_key": secret, "public_key": public});
        println!("{document}");
    } else {
        println!("key-pair id  {id}\nprivate key  {}\npublic key   {}", secret.display(), public.display());
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let file = std::fs::File::options().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written; name another file with --out", path.display()))
}
