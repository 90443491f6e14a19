//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use zk_session::client::ConnectString;

use crate::access::{Known, SaslArgs};
use crate::bench::Bench;
use crate::commands::*;
use crate::failure::Failure;
use crate::output::Colour;
use crate::serve::Serve;
use crate::tls::TlsArgs;
use crate::top::Top;

/// ZooKeeper on the command line.
///
/// Each command opens a session, does its work and closes the session. Without a command a shell
/// starts, with history and completion of paths, which keeps one session for all its lines.
#[derive(Debug, Parser)]
#[command(
    name = "zks",
    version,
    after_help = crate::exit::Exit::help(),
    after_long_help = crate::exit::Exit::help(),
    max_term_width = 100,
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What holds for every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Session")]
pub(crate) struct Settings {
    /// The servers, and below which znode to work: host:port,host:port/chroot
    #[arg(
        short,
        long,
        value_name = "HOSTS",
        env = "ZKS_SERVERS",
        default_value = "127.0.0.1:2181",
        value_parser = servers
    )]
    pub(crate) servers: String,
    /// The session timeout to ask for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, global = true)]
    pub(crate) timeout: Duration,
    /// How long to look for a server that gives a session
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration, global = true)]
    pub(crate) connect_timeout: Duration,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, global = true)]
    pub(crate) deadline: Duration,
    /// Be content with a server that has lost its quorum and serves reads only
    #[arg(long, global = true)]
    pub(crate) read_only: bool,
    /// Resume the session whose ticket is in FILE, or start one there, and leave it instead of closing it
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ticket: Option<PathBuf>,
    /// Add the credential in environment variable VAR: SCHEME:CREDENTIAL, such as digest:user:password
    #[arg(long, value_name = "VAR", global = true)]
    pub(crate) auth_env: Vec<String>,
    /// Add the credentials in FILE, one SCHEME:CREDENTIAL a line
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) auth_file: Vec<PathBuf>,
    /// Ask for a password on the terminal and add SCHEME:USER:PASSWORD
    #[arg(long, value_name = "SCHEME:USER", global = true)]
    pub(crate) auth: Vec<String>,
    /// Print one JSON object a line, errors too
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to colour; NO_COLOR is respected
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        global = true,
        help_heading = "Output"
    )]
    pub(crate) color: Colour,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) sasl: SaslArgs,
    /// What of it was found out.
    #[arg(skip)]
    pub(crate) access: Known,
}

impl Settings {
    /// Whether connections are to be encrypted, or begin with SASL.
    pub(crate) fn is_secured(&self) -> Result<bool, Failure> {
        Ok(self.sasl.is_wanted() || self.tls.set_up()?.is_some())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Znode(ZnodeCommand),
    /// Hold a session and tell its every change with the reason
    Session(Session),
    /// A shell: the same commands on one session, with history and completion of paths
    Shell(Shell),
    /// Serve an ensemble for tests from this process; faults are made from its prompt
    Serve(Serve),
    /// Load the ensemble and tell how fast it answers
    Bench(Bench),
    /// A live view of the ensemble: servers, connections, latencies, watches
    Top(Top),
    /// Play the life of a session: fail over, be cut off, expire
    Demo(Demo),
    /// Ask every server a four-letter word, such as ruok, srvr or mntr
    Word(Word),
    /// Print what makes a shell complete this program's command line
    Completions(Completions),
    /// Print the manual page, or write one page for each command
    Man(Man),
}

/// What needs a session, one-shot or in the shell.
#[derive(Debug, Subcommand)]
pub(crate) enum ZnodeCommand {
    /// List children
    Ls(Ls),
    /// Draw a subtree
    Tree(Tree),
    /// Read data
    Get(Get),
    /// Change data
    Set(Set),
    /// Create a znode
    Create(Create),
    /// Delete znodes
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Show metadata
    Stat(Stat),
    /// Count all descendants
    Count(Count),
    /// Tell every change as it happens, until Ctrl-C
    Watch(Watch),
    /// Show or change who may do what
    #[command(subcommand)]
    Acl(Acl),
    /// Several writes, all or nothing; or several reads at once
    Multi(Multi),
    /// Have the server catch up with the leader
    Sync(Sync),
    /// Show the ensemble's configuration
    Config(Config),
    /// Change the ensemble's members
    Reconfig(Reconfig),
    /// Show or change how many znodes and bytes a subtree may have
    #[command(subcommand)]
    Quota(Quota),
    /// Show who the servers take this connection for
    Whoami(Whoami),
    /// List ephemeral znodes and the sessions that own them
    Ephemerals(Ephemerals),
}

/// Checks a connection string.
fn servers(text: &str) -> Result<String, String> {
    match ConnectString::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; expected HOST:PORT,HOST:PORT/CHROOT")),
    }
}

/// Reads a time such as `10s`, `500ms` or `1m 30s`; more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be more than nothing".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => {
            Err(format!("{error}; expected a number with its unit, such as 10s or 500ms"))
        }
    }
}

/// The same, or `0s`.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) => Ok(time),
        Err(error) => {
            Err(format!("{error}; expected a number with its unit, such as 10s or 500ms"))
        }
    }
}

/// Checks a znode's path, and offers what may have been meant.
pub(crate) fn path(text: &str) -> Result<String, String> {
    match zk_session::path::validate(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => {
            let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
            let meant = format!("/{}", names.join("/"));
            Err(match zk_session::path::validate(&meant) {
                Ok(()) if !text.is_empty() => format!("{error}; did you mean {meant}?"),
                _ => error.to_string(),
            })
        }
    }
}

/// Checks the path of a znode to be created, whose last name may get digits.
pub(crate) fn new_path(text: &str) -> Result<String, String> {
    match zk_session::path::validate_sequential(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => path(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        super::Cli::command().debug_assert();
    }
}
