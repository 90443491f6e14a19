//! Exit codes: what scripts branch on.

use zk_session::ErrorCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// The server refused for a reason without a code of its own, or a file could not be used.
    Failed,
    /// The command line makes no sense; nothing was sent.
    Usage,
    /// No server could be reached, or the connection was lost before the answer.
    NoConnection,
    /// The session has expired.
    Expired,
    /// A credential was refused, or the ACL forbids it.
    NoAuth,
    /// TLS: a certificate was refused, or the two sides have nothing in common.
    Tls,
    /// The znode does not exist.
    NoNode,
    /// The znode exists already.
    NodeExists,
    /// The version is another.
    BadVersion,
    /// The znode has children.
    NotEmpty,
    /// Ctrl-C or SIGTERM came before the end.
    Interrupted,
}

impl Exit {
    /// Every code, in order, with its meaning: for the help, the man page and the documentation.
    pub(crate) const TABLE: [(Self, &'static str); 12] = [
        (Self::Done, "done"),
        (Self::Failed, "refused by the server for another reason, or a file cannot be used"),
        (Self::Usage, "the command line makes no sense; nothing was sent"),
        (Self::NoConnection, "no server accepts a session, or the connection was lost"),
        (Self::Expired, "the session has expired"),
        (Self::NoAuth, "a credential or password was refused, or the ACL forbids it"),
        (Self::Tls, "TLS: the server's certificate, or this client's, was refused"),
        (Self::NoNode, "the znode does not exist"),
        (Self::NodeExists, "the znode exists already"),
        (Self::BadVersion, "the version is another"),
        (Self::NotEmpty, "the znode has children"),
        (Self::Interrupted, "Ctrl-C or SIGTERM before the end"),
    ];

    /// The code of a server's refusal.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NoNode => Self::NoNode,
            ErrorCode::NodeExists => Self::NodeExists,
            ErrorCode::BadVersion => Self::BadVersion,
            ErrorCode::NotEmpty => Self::NotEmpty,
            ErrorCode::NoAuth | ErrorCode::AuthFailed | ErrorCode::SessionClosedRequireSaslAuth => {
                Self::NoAuth
            }
            ErrorCode::SessionExpired | ErrorCode::UnknownSession => Self::Expired,
            ErrorCode::ConnectionLoss
            | ErrorCode::OperationTimeout
            | ErrorCode::RequestTimeout
            | ErrorCode::SessionMoved => Self::NoConnection,
            _ => Self::Failed,
        }
    }

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::Expired => 4,
            Self::NoAuth => 5,
            Self::Tls => 6,
            Self::NoNode => 10,
            Self::NodeExists => 11,
            Self::BadVersion => 12,
            Self::NotEmpty => 13,
            Self::Interrupted => 130,
        }
    }

    /// The table as the help shows it.
    pub(crate) fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for (exit, meaning) in Self::TABLE {
            text.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
        }
        text
    }
}
