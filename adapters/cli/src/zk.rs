//! The session that commands work on.

use std::time::Duration;

use zk_session::client::KeeperState;
use zk_session::wire::Stat;
use zk_session_tokio::{AclEntry, Cause, Client, Error, Transitions};

use crate::access::Access;
use crate::args::Settings;
use crate::auth::Credential;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::ticket::TicketFile;
use crate::words::hosts;

/// How many requests are on their way at once where a command makes many.
const WINDOW: usize = 256;

/// A session, with what the command line said about all requests.
#[derive(Debug)]
pub(crate) struct Zk {
    client: Client,
    deadline: Duration,
    ticket: Option<TicketFile>,
}

/// A znode that [`Zk::walk`] has come to.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its path.
    pub(crate) path: String,
    /// Its metadata.
    pub(crate) stat: Stat,
    /// For itself and each ancestor below the start, the start's child first: whether it is the last
    /// among its siblings.
    pub(crate) lasts: Vec<bool>,
    /// Whether it has children that are too deep to be looked at.
    pub(crate) cut: bool,
}

/// The path of a child.
pub(crate) fn child(parent: &str, name: &str) -> String {
    match parent {
        "/" => format!("/{name}"),
        parent => format!("{parent}/{name}"),
    }
}

/// Tells that a session is over, in place of an error that only says so much.
pub(crate) fn over(state: KeeperState) -> Failure {
    match state {
        KeeperState::Expired => Failure::other("the session has expired", Exit::Expired),
        KeeperState::AuthFailed => Failure::other("a credential was refused", Exit::NoAuth),
        _ => Failure::other("the session was closed", Exit::NoConnection),
    }
}

/// Why a session has ended as `AuthFailed` before it was connected: SASL comes before all else.
async fn refused(access: &Access, transitions: &mut Transitions) -> Failure {
    let mut end = None;
    while let Some(next) = transitions.next().await {
        end = Some(next);
    }
    let Some(end) = end else { return over(KeeperState::AuthFailed) };
    let (what, hint) = match (end.cause, end.detail) {
        (Cause::SaslRequired, _) => (
            end.cause.to_string(),
            "--sasl-user USER and --sasl-password-file FILE prove who you are",
        ),
        (Cause::SaslFailed, Some(detail)) => (format!("SASL: {detail}"), ""),
        (Cause::AuthRefused, _) if access.sasl.is_some() => (
            format!("{} refuses the user or the password of SASL", end.host),
            "--sasl-user and --sasl-password-file, ZKS_SASL_PASSWORD or the terminal bring them",
        ),
        (cause, _) => (cause.to_string(), ""),
    };
    Failure::other(what, Exit::NoAuth).hinted(hint)
}

impl Zk {
    /// Opens a session, or resumes that of the ticket, and shows all credentials.
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, Failure> {
        Self::connect_told(settings).await.map(|(zk, _)| zk)
    }

    /// The same, with all transitions from the first on.
    pub(crate) async fn connect_told(settings: &Settings) -> Result<(Self, Transitions), Failure> {
        let access = Access::of(settings)?;
        let secured = access.secured();
        let ticket = settings.ticket.clone().map(TicketFile::new);
        let mut builder = Client::builder(&settings.servers)
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout);
        if settings.read_only {
            builder = builder.allow_read_only();
        }
        if let Some(secured) = &secured {
            builder = builder.layer(secured.layer());
        }
        if let Some(sasl) = &access.sasl {
            builder = builder.sasl(sasl.clone());
        }
        let kept = ticket.as_ref().map(TicketFile::read).transpose()?.flatten();
        let is_resumed = kept.is_some();
        if let Some(bytes) = kept {
            builder = builder.resume(bytes);
        }
        let (client, mut transitions) = builder.start_told().map_err(|error| match &ticket {
            Some(file) if is_resumed => Failure::usage(
                format!("{}: {error}", file.name()),
                "name another file, or remove it",
            ),
            _ => Failure::from(error),
        })?;
        let zk = Self { client, deadline: settings.deadline, ticket };
        let hopeless = async {
            match &secured {
                Some(secured) => secured.hopeless(hosts(&settings.servers).len()).await,
                None => std::future::pending().await,
            }
        };
        let prepared = tokio::select! {
            prepared = zk.prepare(settings.connect_timeout, &access, &mut transitions) => prepared,
            failure = hopeless => Err(failure),
            () = interrupt::signal() => Err(Failure::Interrupted),
        };
        let prepared = prepared.map_err(|failure| match &secured {
            Some(secured) if failure.is_connect_timeout() => secured.refusal().unwrap_or(failure),
            _ => failure,
        });
        if let Err(failure) = prepared {
            if is_resumed {
                zk.client.detach();
            } else {
                // The ensemble need not wait for its timeout.
                let _ = zk.client.close().await;
            }
            return Err(failure);
        }
        Ok((zk, transitions))
    }

    async fn prepare(
        &self,
        patience: Duration,
        access: &Access,
        transitions: &mut Transitions,
    ) -> Result<(), Failure> {
        if let Err(error) = self.client.wait_connected(patience).await {
            return Err(match self.client.state() {
                KeeperState::AuthFailed => refused(access, transitions).await,
                _ => self.explain(error),
            });
        }
        for credential in &access.credentials {
            self.authenticate(credential).await?;
        }
        self.keep_ticket()
    }

    /// The session itself.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// How long to wait for an answer.
    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What an error means, now that the session's state is known.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        match self.client.state() {
            state if error.is_session_over() && state.is_final() => over(state),
            _ => Failure::from(error),
        }
    }

    /// Shows the servers a credential.
    pub(crate) async fn authenticate(&self, credential: &Credential) -> Result<(), Failure> {
        let auth = self.client.add_auth(&credential.scheme, &credential.secret);
        let done = auth.deadline(self.deadline).await;
        done.map_err(|error| match self.explain(error) {
            // The word of the server that it refuses says nothing of whose credential.
            refused if refused.exit() == Exit::NoAuth => Failure::other(
                format!("the server refuses the {} credential", credential.scheme),
                Exit::NoAuth,
            ),
            other => other,
        })
    }

    /// Writes the ticket, where there is a file for it.
    pub(crate) fn keep_ticket(&self) -> Result<(), Failure> {
        match &self.ticket {
            Some(file) => file.write(&self.client.ticket()?),
            None => Ok(()),
        }
    }

    /// Where the ticket is kept.
    pub(crate) const fn ticket(&self) -> Option<&TicketFile> {
        self.ticket.as_ref()
    }

    /// The end: leaves the session where there is a ticket to resume it with, or else closes it.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        match self.ticket {
            Some(_) if !self.client.state().is_final() => self.leave(),
            _ => {
                self.close().await;
                Ok(())
            }
        }
    }

    /// Leaves the session to whoever has the ticket, or to its timeout.
    pub(crate) fn leave(self) -> Result<(), Failure> {
        self.keep_ticket()?;
        self.client.detach();
        Ok(())
    }

    /// Closes the session. A ticket for it is worth nothing then, and goes.
    pub(crate) async fn close(self) {
        // Where the ensemble does not confirm it, the session ends by its timeout.
        let _ = self.client.close().await;
        if let Some(file) = &self.ticket {
            file.remove();
        }
    }

    /// Data and metadata.
    pub(crate) async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Failure> {
        let node = self.client.get(path).deadline(self.deadline).await;
        node.map(|node| (node.data.into(), node.stat)).map_err(|error| self.explain(error))
    }

    /// New data.
    pub(crate) async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, Failure> {
        let mut set = self.client.set(path, data).deadline(self.deadline);
        if let Some(version) = version {
            set = set.version(version);
        }
        set.await.map_err(|error| self.explain(error))
    }

    /// Removes a znode.
    pub(crate) async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Failure> {
        let mut delete = self.client.delete(path).deadline(self.deadline);
        if let Some(version) = version {
            delete = delete.version(version);
        }
        delete.await.map_err(|error| self.explain(error))
    }

    /// Metadata; none if there is no such znode.
    pub(crate) async fn stat(&self, path: &str) -> Result<Option<Stat>, Failure> {
        let stat = self.client.exists(path).deadline(self.deadline).await;
        stat.map_err(|error| self.explain(error))
    }

    /// The metadata of many znodes.
    pub(crate) async fn stats(&self, paths: &[String]) -> Result<Vec<Option<Stat>>, Failure> {
        let mut stats = Vec::with_capacity(paths.len());
        for window in paths.chunks(WINDOW) {
            // All are sent before the first answer is awaited.
            let ask = |path: &String| self.client.exists(path).deadline(self.deadline).send();
            let asked: Vec<_> = window.iter().map(ask).collect();
            for answer in asked {
                stats.push(answer.await.map_err(|error| self.explain(error))?);
            }
        }
        Ok(stats)
    }

    /// The names of the children.
    pub(crate) async fn children(&self, path: &str) -> Result<Vec<String>, Failure> {
        let children = self.client.children(path).deadline(self.deadline).await;
        children.map(|children| children.names).map_err(|error| self.explain(error))
    }

    /// Who may do what.
    pub(crate) async fn acl(&self, path: &str) -> Result<(Vec<AclEntry>, Stat), Failure> {
        let acls = self.client.acl(path).deadline(self.deadline).await;
        acls.map(|acls| (acls.acl, acls.stat)).map_err(|error| self.explain(error))
    }

    /// Goes through a subtree, parents first and names in order, down to `depth` levels below its
    /// start. Znodes that go meanwhile are left out.
    pub(crate) async fn walk(
        &self,
        start: &str,
        depth: usize,
        mut visit: impl FnMut(&Found) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let stat = self.stat(start).await?.ok_or_else(|| Failure::NoNode(start.to_owned()))?;
        let cut = depth == 0 && stat.num_children > 0;
        let mut stack = vec![Found { path: start.to_owned(), stat, lasts: Vec::new(), cut }];
        while let Some(found) = stack.pop() {
            visit(&found)?;
            if found.stat.num_children == 0 || found.lasts.len() >= depth {
                continue;
            }
            let mut names = match self.children(&found.path).await {
                Err(failure) if failure.exit() == Exit::NoNode => continue,
                names => names?,
            };
            names.sort_unstable();
            let paths: Vec<String> = names.iter().map(|name| child(&found.path, name)).collect();
            let stats = self.stats(&paths).await?;
            let there: Vec<(String, Stat)> = paths
                .into_iter()
                .zip(stats)
                .filter_map(|(path, stat)| stat.map(|stat| (path, stat)))
                .collect();
            // The first is to be popped first.
            for (at, (path, stat)) in there.into_iter().rev().enumerate() {
                let mut lasts = found.lasts.clone();
                lasts.push(at == 0);
                let cut = lasts.len() >= depth && stat.num_children > 0;
                stack.push(Found { path, stat, lasts, cut });
            }
        }
        Ok(())
    }

    /// Deletes many znodes, children before their parents as they come; those that have gone
    /// already are no failure. How many were there.
    pub(crate) async fn delete_all(&self, paths: &[String]) -> Result<u64, Failure> {
        let mut deleted = 0_u64;
        for window in paths.chunks(WINDOW) {
            let ask = |path: &String| self.client.delete(path).deadline(self.deadline).send();
            let asked: Vec<_> = window.iter().map(ask).collect();
            let mut failure = None;
            for answer in asked {
                match answer.await {
                    Ok(()) => deleted = deleted.saturating_add(1),
                    Err(error) if error.is_no_node() => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(error) = failure {
                return Err(self.explain(error));
            }
        }
        Ok(deleted)
    }
}
