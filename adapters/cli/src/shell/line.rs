//! A line of the shell.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::args::ZnodeCommand;
use crate::auth;
use crate::commands::{self, milliseconds};
use crate::failure::Failure;
use crate::output::{FIELD, Out, printable};
use crate::ticket::TicketFile;
use crate::zk::Zk;

#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true, max_term_width = 100)]
pub(super) struct Words {
    #[command(subcommand)]
    line: Line,
}

/// What a line asks for.
#[derive(Debug, Subcommand)]
pub(super) enum Line {
    #[command(flatten)]
    Znode(ZnodeCommand),
    /// Show the servers a credential
    #[command(subcommand)]
    Auth(Auth),
    /// Show the session: its id, state, timeout, server and pings
    Session,
    /// End the session and the shell
    #[command(visible_alias = "exit")]
    Quit,
}

/// Where the credential comes from: it is never typed where it can be seen.
#[derive(Debug, Subcommand)]
pub(super) enum Auth {
    /// From an environment variable that holds SCHEME:CREDENTIAL
    Env {
        /// Its name
        name: String,
    },
    /// From a file, one SCHEME:CREDENTIAL a line
    File {
        /// Its name
        file: PathBuf,
    },
    /// From the terminal, without an echo
    Ask {
        /// SCHEME:USER
        who: String,
    },
}

/// Why a line is not done.
pub(super) enum Unclear {
    /// It asks for the help only.
    Help(String),
    /// It makes no sense.
    Wrong(Failure),
}

/// Whether a line, as far as it was typed, may hold a secret: it is kept nowhere.
pub(super) fn is_about_secrets(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    word.to_ascii_lowercase().contains("auth")
}

/// Reads a line; none if there is nothing in it.
pub(super) fn parse(line: &str) -> Result<Option<Line>, Unclear> {
    let wrong = |what: &str, hint: &str| Unclear::Wrong(Failure::usage(what, hint));
    let Some(words) = shlex::split(line) else {
        return Err(wrong("a quote is not closed", "quote as in a shell"));
    };
    if words.is_empty() {
        return Ok(None);
    }
    match Words::try_parse_from(words) {
        Ok(words) => Ok(Some(words.line)),
        Err(error) if !error.use_stderr() => Err(Unclear::Help(error.to_string())),
        // What was typed may be a password: it is not repeated.
        Err(_) if is_about_secrets(line) => Err(wrong(
            "auth takes no credential, but the place where one is",
            "auth env VAR, auth file FILE or auth ask SCHEME:USER",
        )),
        Err(error) => Err(Unclear::Wrong(Failure::unclear(&error))),
    }
}

impl Line {
    /// Does what it asks for.
    pub(super) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Znode(command) => command.run(zk, out).await,
            Self::Auth(from) => {
                let credentials = match from {
                    Auth::Env { name } => vec![auth::from_env(name)?],
                    Auth::File { file } => auth::from_file(file)?,
                    Auth::Ask { who } => vec![auth::from_terminal(who)?],
                };
                for credential in &credentials {
                    zk.authenticate(credential).await?;
                }
                Ok(())
            }
            Self::Session => session(zk, out),
            Self::Quit => Ok(()),
        }
    }
}

fn session(zk: &Zk, out: &mut Out) -> Result<(), Failure> {
    let client = zk.client();
    let (id, state, (_, host)) = (client.session_id(), client.state(), client.current_host());
    let timeout = client.timeout().as_millis();
    let (pings, heard) = (client.pings(), client.last_heard().elapsed());
    if out.is_json() {
        return out.json_line(&json!({
            "session": id.to_string(),
            "state": format!("{state:?}"),
            "connected": state.is_connected(),
            "timeout_ms": u64::try_from(timeout).unwrap_or(u64::MAX),
            "host": host,
            "pings_sent": pings.sent,
            "pings_answered": pings.answered,
            "last_ping_ms": pings.last_round_trip.map(milliseconds),
            "heard_ms_ago": milliseconds(heard),
            "ticket": zk.ticket().map(TicketFile::name),
        }));
    }
    out.remark(&format!("{id}  {state:?}"))?;
    out.remark(&format!("  {FIELD}timeout{FIELD:#}  {timeout} ms"))?;
    out.remark(&format!("  {FIELD}server{FIELD:#}   {}", printable(&host)))?;
    let heard = heard.as_secs_f64();
    out.remark(&format!("  {FIELD}heard{FIELD:#}    {heard:.1} s ago"))?;
    out.remark(&format!("  {FIELD}pings{FIELD:#}    {}", commands::pings(&pings)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        super::Words::command().debug_assert();
    }
}
