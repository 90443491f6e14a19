//! A line of the prompt: something that is done to the ensemble.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use zk_session::wire::SessionId;
use zk_session_std::{EmbeddedEnsemble, EnsembleError, SessionInfo};

use crate::args::duration_or_zero;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{FIELD, Out, Show};

#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true, max_term_width = 100)]
struct Words {
    #[command(subcommand)]
    fault: Fault,
}

/// What is done. Servers are counted from 0.
#[derive(Debug, Subcommand)]
pub(super) enum Fault {
    /// Stop a server, as if its process had been killed
    Stop {
        /// Which server
        server: usize,
    },
    /// Start a stopped server again
    Start {
        /// Which server
        server: usize,
    },
    /// Drop the connections of a server
    Cut {
        /// Which server
        server: usize,
    },
    /// Have a server do nothing any more, without closing anything
    Freeze {
        /// Which server
        server: usize,
    },
    /// Have a frozen server go on
    Thaw {
        /// Which server
        server: usize,
    },
    /// Have bytes to and from a server take so long; 0s ends it
    Delay {
        /// Which server
        server: usize,
        /// How long, each way
        #[arg(value_parser = duration_or_zero)]
        time: Duration,
    },
    /// Have a server lose its quorum
    ReadOnly {
        /// Which server
        server: usize,
    },
    /// Have a server be part of the quorum again
    ReadWrite {
        /// Which server
        server: usize,
    },
    /// Expire a session, or all
    Expire {
        /// Its id, or all
        session: String,
    },
    /// Drop the connections of a session
    Drop {
        /// Its id
        #[arg(value_parser = crate::commands::session_id)]
        session: SessionId,
    },
    /// Move a session to another server, as if it had been resumed there
    Move {
        /// Its id
        #[arg(value_parser = crate::commands::session_id)]
        session: SessionId,
        /// Which server
        server: usize,
    },
    /// Forget all sessions and znodes
    Wipe,
    /// List the sessions
    Sessions,
    /// List the servers
    Servers,
    /// Write the whole state into a file; it is as secret as the sessions' passwords
    Snapshot {
        /// The file
        file: PathBuf,
    },
    /// Wait, for scripts
    Sleep {
        /// How long
        #[arg(value_parser = duration_or_zero)]
        time: Duration,
    },
    /// End
    #[command(visible_alias = "exit")]
    Quit,
}

/// Why a line is not done.
pub(super) enum Unclear {
    /// It asks for the help only.
    Help(String),
    /// It makes no sense.
    Wrong(Failure),
}

/// Reads a line; none if there is nothing in it.
pub(super) fn parse(line: &str) -> Result<Option<Fault>, Unclear> {
    let wrong = |what: &str| Unclear::Wrong(Failure::usage(what, "help tells what can be done"));
    let words = shlex::split(line).ok_or_else(|| wrong("a quote is not closed"))?;
    if words.is_empty() {
        return Ok(None);
    }
    match Words::try_parse_from(words) {
        Ok(words) => Ok(Some(words.fault)),
        Err(error) if !error.use_stderr() => Err(Unclear::Help(error.to_string())),
        Err(error) => Err(Unclear::Wrong(Failure::unclear(&error))),
    }
}

impl Fault {
    /// Does it, and says so.
    pub(super) fn make(&self, ensemble: &EmbeddedEnsemble, out: &mut Out) -> Result<(), Failure> {
        let done = match self {
            Self::Stop { server } => ensemble.stop(*server).map(|()| format!("stopped {server}")),
            Self::Start { server } => ensemble.start(*server).map(|()| format!("started {server}")),
            Self::Cut { server } => ensemble.cut(*server).map(|()| format!("cut {server}")),
            Self::Freeze { server } => ensemble.freeze(*server).map(|()| format!("froze {server}")),
            Self::Thaw { server } => ensemble.thaw(*server).map(|()| format!("thawed {server}")),
            Self::Delay { server, time } => {
                let told = humantime::format_duration(*time);
                ensemble.delay(*server, *time).map(|()| format!("delayed {server} by {told}"))
            }
            Self::ReadOnly { server } => {
                ensemble.read_only(*server).map(|()| format!("{server} is read-only"))
            }
            Self::ReadWrite { server } => {
                ensemble.read_write(*server).map(|()| format!("{server} can write"))
            }
            Self::Expire { session } => return expire(session, ensemble, out),
            Self::Drop { session } => ensemble.drop_connection(*session).map(|was| match was {
                true => format!("dropped the connection of {session}"),
                false => format!("{session} has no connection"),
            }),
            Self::Move { session, server } => ensemble
                .move_session(*session, *server)
                .map(|()| format!("moved {session} to {server}")),
            Self::Wipe => ensemble.wipe().map(|()| "wiped".to_owned()),
            Self::Sessions => {
                let sessions = ensemble.sessions().map_err(|error| failed(&error))?;
                return sessions.iter().try_for_each(|info| out.show(&Known(info)));
            }
            Self::Servers => return servers(ensemble, out),
            Self::Snapshot { file } => return snapshot(file, ensemble, out),
            Self::Sleep { .. } | Self::Quit => return Ok(()),
        };
        say(&done.map_err(|error| failed(&error))?, out)
    }
}

fn say(what: &str, out: &mut Out) -> Result<(), Failure> {
    match out.is_json() {
        true => out.json_line(&json!({ "event": "Fault", "done": what })),
        false => out.remark(what),
    }
}

fn failed(error: &EnsembleError) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::NotFound => {
            Failure::usage(error.to_string(), "servers and sessions list them")
        }
        _ => Failure::other(error.to_string(), Exit::Failed),
    }
}

fn expire(text: &str, ensemble: &EmbeddedEnsemble, out: &mut Out) -> Result<(), Failure> {
    let sessions = match text {
        "all" => {
            let all = ensemble.sessions().map_err(|error| failed(&error))?;
            all.iter().map(|info| info.session_id).collect()
        }
        text => {
            let id = crate::commands::session_id(text);
            vec![id.map_err(|what| Failure::usage(what, "sessions lists them; all means all"))?]
        }
    };
    for session in sessions {
        if !ensemble.expire(session).map_err(|error| failed(&error))? {
            let what = format!("there is no session {session}");
            return Err(Failure::usage(what, "sessions lists them"));
        }
        say(&format!("expired {session}"), out)?;
    }
    Ok(())
}

fn servers(ensemble: &EmbeddedEnsemble, out: &mut Out) -> Result<(), Failure> {
    for (i, addr) in ensemble.addrs().iter().enumerate() {
        match out.is_json() {
            true => out.json_line(&json!({ "server": i, "address": addr.to_string() }))?,
            false => out.remark(&format!("{i}  {addr}"))?,
        }
    }
    Ok(())
}

fn snapshot(file: &PathBuf, ensemble: &EmbeddedEnsemble, out: &mut Out) -> Result<(), Failure> {
    let cannot = |error| Failure::io(format!("cannot write {}", file.display()), error);
    let mut writer = BufWriter::new(File::create(file).map_err(cannot)?);
    ensemble.snapshot(&mut writer).map_err(|error| failed(&error))?;
    writer.flush().map_err(cannot)?;
    say(&format!("written to {}", file.display()), out)
}

struct Known<'a>(&'a SessionInfo);

impl Show for Known<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let SessionInfo { session_id, timeout, server, ephemerals, .. } = self.0;
        let at = server.map_or("no server".to_owned(), |server| format!("server {server}"));
        let timeout = timeout.as_millis();
        writeln!(
            to,
            "{session_id}  {at:<9}  {FIELD}timeout{FIELD:#} {timeout} ms  {FIELD}ephemerals{FIELD:#} {ephemerals}"
        )
    }

    fn json(&self) -> Value {
        let SessionInfo { session_id, timeout, server, ephemerals, .. } = self.0;
        json!({
            "session": session_id.to_string(),
            "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            "server": server,
            "ephemerals": ephemerals,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        super::Words::command().debug_assert();
    }
}
