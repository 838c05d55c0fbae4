//! The command line: what can be said, and the commands that talk to a running server.
//!
//! - [`asset`]: `millstream asset …` over HTTP.
//! - [`channel`]: `millstream channel …` over HTTP.
//! - [`check`]: `millstream check`.
//! - [`client`]: the HTTP client, and how it finds the server.
//! - [`load`]: `millstream load`.
//! - [`key`]: `millstream key`.
//! - [`sign`]: `millstream sign`.
//! - [`table`]: columns for people.
//! - [`token`]: `millstream token …` over HTTP.
//! - [`user`]: `millstream user …` over HTTP.

pub mod asset;
pub mod channel;
pub mod check;
pub mod client;
pub mod key;
pub mod load;
pub mod sign;
pub mod table;
pub mod token;
pub mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use asset::{AssetArgs, run_asset};
pub use channel::{ChannelArgs, run_channel};
pub use check::{CheckArgs, run_check};
pub use key::{KeyArgs, run_key};
pub use load::{LoadArgs, run_load};
pub use sign::{SignArgs, run_sign};
pub use token::{TokenArgs, run_token};
pub use user::{UserArgs, run_user};

use crate::config::Flags;

/// Live streaming from the encoder to every browser: RTMP in, low-latency HLS and DASH out.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  millstream demo                              a server with a live test picture, and the URL to open
  millstream serve                             a server on this machine
  millstream channel create news --title News  a channel, its server and its stream key";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Run the server with a live test source and print the URL to open
    Demo(DemoArgs),
    /// Create, list, show, change, delete, start and stop channels of a running server
    Channel(ChannelArgs),
    /// List, show, clip, rename and delete what a running server recorded
    Asset(AssetArgs),
    /// Make, list and revoke tokens for the API
    Token(TokenArgs),
    /// Add, list, change and remove users, who log in to the console
    User(UserArgs),
    /// Read a presentation as a player does and list what breaks the standards
    Check(CheckArgs),
    /// Sign URLs and cookies for viewers, in CloudFront's format
    Sign(SignArgs),
    /// Make keys that sign
    Key(KeyArgs),
    /// Let a crowd of viewers watch a presentation and report how they fared
    Load(LoadArgs),
}

/// `millstream serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream serve
  millstream serve --http 0.0.0.0:8080 --rtmp 0.0.0.0:1935
  millstream serve --config /etc/millstream.toml --print-config
  millstream serve --role edge --origin http://a:8080 --origin http://b:8080

Every setting: docs/reference/config.md. Precedence: flag, environment, file, default.
SIGTERM and SIGINT end it cleanly.")]
pub struct ServeArgs {
    /// Configuration file [default: millstream.toml in the current directory, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What this node does
    #[arg(long, value_enum, default_value_t = Role::All)]
    pub role: Role,
    /// With --role edge: a server to ask, the preferred one first; may be given more than once
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    #[command(flatten)]
    pub addresses: Addresses,
    /// Print the effective configuration without secrets, and end
    #[arg(long)]
    pub print_config: bool,
}

/// `millstream demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream demo
  millstream demo --http 127.0.0.1:0    on a free port

Needs ffmpeg, which makes the test picture.")]
pub struct DemoArgs {
    #[command(flatten)]
    pub addresses: Addresses,
}

/// The settings with flags of their own.
#[derive(Clone, Debug, Default, Args)]
pub struct Addresses {
    /// Address for viewers, console and API; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<String>,
    /// Address for RTMP, or off
    #[arg(long, value_name = "IP:PORT")]
    pub rtmp: Option<String>,
    /// Folder for what the server keeps
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// error, warn, info, debug or trace, also by module: info,millstream_ingest=debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl Addresses {
    /// As the topmost layer of the configuration.
    pub fn flags(&self) -> Flags {
        Flags {
            http: self.http.clone(),
            rtmp: self.rtmp.clone(),
            data_dir: self.data_dir.clone(),
            log_level: self.log_level.clone(),
            origins: Vec::new(),
        }
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything in one process
    All,
    /// Ingest and encode (comes with a later version)
    Encoder,
    /// Package and serve (comes with a later version)
    Origin,
    /// Cache and serve what origins, or other edges, hold
    Edge,
}

impl Role {
    /// Refuses the roles that are not there yet.
    ///
    /// # Errors
    /// For every role but `all` and `edge`.
    pub fn check(self) -> Result<()> {
        let name = match self {
            Role::All | Role::Edge => return Ok(()),
            Role::Encoder => "encoder",
            Role::Origin => "origin",
        };
        bail!("--role {name} comes with a later version; use --role all, which does everything in one process")
    }
}

/// Ends the program: nothing on success; the error and its causes in one line on standard error otherwise.
pub fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millstream: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

/// `docs/reference/cli.md`: the help of every command.
#[cfg(test)]
fn page() -> String {
    fn help(command: &mut clap::Command, path: &str, page: &mut String) {
        let text = command.render_long_help().to_string();
        let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        page.push_str(&format!("\n## {path}\n\n```\n{}\n```\n", text.trim_end()));
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            help(sub, &path, page);
        }
    }
    let mut page = String::from(
        "# Command line\n\n<!-- Made from crates/millstream/src/cli.rs by \
         `cargo test -p millstream -- --ignored write_reference`. -->\n\nThe exit code is 0 only on success. An error is one \
         line on standard error that says the cause and the mend.\n",
    );
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    help(&mut command, "millstream", &mut page);
    page
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");

    #[test]
    fn the_help_of_every_command_is_the_reference_page() {
        Cli::command().debug_assert();
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(written == page(), "run `cargo test -p millstream -- --ignored write_reference`");
        assert!(page().matches("Examples:").count() >= 10, "every command shows examples");
    }

    #[test]
    #[ignore = "writes the page"]
    fn write_reference() {
        std::fs::write(PATH, page()).unwrap();
    }

    #[test]
    fn roles_that_are_not_there_say_so() {
        let role = |text: &str| match Cli::try_parse_from(["millstream", "serve", "--role", text]).unwrap().command {
            Command::Serve(serve) => serve.role,
            _ => unreachable!(),
        };
        assert!(role("all").check().is_ok() && role("edge").check().is_ok());
        for name in ["encoder", "origin"] {
            assert!(role(name).check().unwrap_err().to_string().contains("use --role all"));
        }
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = anyhow::anyhow!("disk\n  full").context("cannot write");
        assert_eq!(one_line(&error), "cannot write: disk full");
    }
}
