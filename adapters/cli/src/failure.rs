//! Why a command has no result: what was wrong, and how to mend it.

use std::fmt;
use std::io;

use serde_json::{Value, json};
use zk_session::{DisconnectReason, ErrorCode, OpError, SubmitError};
use zk_session_tokio::{Error, ErrorKind};

use crate::exit::Exit;

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command makes no sense.
    Usage {
        /// What is wrong with it.
        what: String,
        /// How to mend it.
        hint: String,
    },
    /// The session or the server says no.
    Zk(Box<Error>),
    /// A znode is not there, where the server tells that by an answer without it.
    NoNode(String),
    /// The system says no.
    Io {
        /// What was to be done.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// What was found is not what the command needs.
    Other {
        /// What was found.
        what: String,
        /// How the program ends.
        exit: Exit,
        /// How to mend it; empty where that cannot be told.
        hint: String,
    },
    /// Whoever read our output has gone: nothing is to be said any more.
    Unheard,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    /// A line or a command line that clap does not understand: its first line says what is wrong.
    pub(crate) fn unclear(error: &clap::Error) -> Self {
        let text = error.to_string();
        let (what, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let what = what.strip_prefix("error: ").unwrap_or(what);
        let usage = rest.lines().find_map(|line| line.strip_prefix("Usage: ")).map(str::trim);
        match usage.filter(|usage| !usage.starts_with('<')) {
            Some(usage) => Self::usage(what, format!("usage: {usage}")),
            None => Self::usage(what, "help tells the commands"),
        }
    }

    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    pub(crate) fn other(what: impl Into<String>, exit: Exit) -> Self {
        Self::Other { what: what.into(), exit, hint: String::new() }
    }

    /// The same with a hint, where it has none of its own.
    pub(crate) fn hinted(mut self, how: impl Into<String>) -> Self {
        if let Self::Other { hint, .. } = &mut self {
            *hint = how.into();
        }
        self
    }

    /// Whether no server has accepted the session.
    pub(crate) const fn is_connect_timeout(&self) -> bool {
        matches!(self, Self::Zk(error) if matches!(error.kind, ErrorKind::ConnectTimeout { .. }))
    }

    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Zk(error) => of_kind(&error.kind),
            Self::NoNode(_) => Exit::NoNode,
            Self::Io { .. } => Exit::Failed,
            Self::Other { exit, .. } => *exit,
            Self::Unheard => Exit::Done,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// How to mend it, where that can be told.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Other { hint, .. } => {
                (!hint.is_empty()).then(|| hint.clone())
            }
            Self::Zk(error) => hint_for(error).map(str::to_owned),
            _ => None,
        }
    }

    /// The error line of `--json`.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "exit": self.exit().code(), "message": self.to_string() });
        if let (Self::Zk(zk), Some(fields)) = (self, error.as_object_mut()) {
            if let Some(op) = zk.op {
                fields.insert("op".to_owned(), json!(format!("{op:?}")));
            }
            if !zk.path.is_empty() {
                fields.insert("path".to_owned(), json!(zk.path));
            }
            if let Some(code) = zk.code() {
                fields.insert("code".to_owned(), json!(code_name(code)));
            }
        }
        if let (Self::NoNode(path), Some(fields)) = (self, error.as_object_mut()) {
            fields.insert("path".to_owned(), json!(path));
            fields.insert("code".to_owned(), json!(code_name(ErrorCode::NoNode)));
        }
        if let (Some(hint), Some(fields)) = (self.hint(), error.as_object_mut()) {
            fields.insert("hint".to_owned(), json!(hint));
        }
        json!({ "error": error })
    }
}

/// `NoNode` and its like, as the documentation of ZooKeeper's clients names them.
pub(crate) fn code_name(code: ErrorCode) -> String {
    match code {
        ErrorCode::Unknown(number) => number.to_string(),
        known => format!("{known:?}"),
    }
}

fn of_kind(kind: &ErrorKind) -> Exit {
    match kind {
        ErrorKind::Config(_) => Exit::Usage,
        ErrorKind::Op(OpError::Server(code)) | ErrorKind::Item { code, .. } => Exit::of(*code),
        ErrorKind::Op(OpError::SessionExpired) | ErrorKind::Submit(SubmitError::Ended) => {
            Exit::Expired
        }
        ErrorKind::Op(OpError::AuthFailed) => Exit::NoAuth,
        ErrorKind::ConnectTimeout { .. }
        | ErrorKind::NotSent
        | ErrorKind::NoSession
        | ErrorKind::Op(OpError::ConnectionLoss | OpError::Timeout | OpError::SessionClosed) => {
            Exit::NoConnection
        }
        ErrorKind::Submit(SubmitError::Path(_)) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// Whether what came in place of a frame is an alert of TLS: its type, 21, and its version, 3.
fn is_tls_alert(reason: &DisconnectReason) -> bool {
    matches!(reason, DisconnectReason::BadFrameLength { len } if len >> 16 == 0x1503)
}

fn hint_for(error: &Error) -> Option<&'static str> {
    Some(match (&error.kind, error.code()) {
        (_, Some(ErrorCode::NotEmpty)) => "delete -r deletes the children, too",
        (_, Some(ErrorCode::NoAuth)) => {
            "acl get PATH shows who may; --auth-env and --auth-file bring credentials"
        }
        (_, Some(ErrorCode::BadVersion)) => "stat PATH shows the version that holds now",
        (_, Some(ErrorCode::NodeExists)) => "set changes the data of a znode that exists",
        (_, Some(ErrorCode::NoChildrenForEphemerals)) => "the parent is ephemeral",
        (_, Some(ErrorCode::InvalidAcl)) => {
            "entries are SCHEME:ID:PERMS, such as world:anyone:cdrwa or ip:10.0.0.0/8:r"
        }
        (_, Some(ErrorCode::Unimplemented)) => {
            "the server is too old for it, or has it disabled (times to live need \
             extendedTypesEnabled=true)"
        }
        (_, Some(ErrorCode::ReconfigDisabled)) => "servers need reconfigEnabled=true",
        (ErrorKind::ConnectTimeout { last: Some((_, reason)), .. }, _) if is_tls_alert(reason) => {
            "the server speaks TLS there: --tls-ca FILE tells whom to trust"
        }
        (ErrorKind::ConnectTimeout { detail: Some(detail), .. }, _)
            if detail.starts_with("TLS with") =>
        {
            "is this the servers' port for TLS, secureClientPort?"
        }
        (ErrorKind::ConnectTimeout { .. }, _) => {
            "-s HOST:PORT,… or ZKS_SERVERS name the servers; --connect-timeout gives them more time"
        }
        (ErrorKind::Op(OpError::Server(_)), _) => return None,
        _ if error.is_outcome_unknown() => {
            "it may or may not have happened: look before you repeat"
        }
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Zk(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { what, .. } | Self::Other { what, .. } => f.write_str(what),
            Self::Zk(error) => {
                let said = match error.code() {
                    Some(ErrorCode::NoNode) => "does not exist",
                    Some(ErrorCode::NodeExists) => "exists already",
                    Some(ErrorCode::NotEmpty) => "has children",
                    _ => return write!(f, "{error}"),
                };
                match &error.kind {
                    _ if error.path.is_empty() => write!(f, "{error}"),
                    ErrorKind::Item { at, .. } => write!(f, "item {at}: {} {said}", error.path),
                    _ => write!(f, "{} {said}", error.path),
                }
            }
            Self::NoNode(path) => write!(f, "{path} does not exist"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Unheard => f.write_str("whoever read the output has gone"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
