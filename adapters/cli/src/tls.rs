//! TLS: whom to trust, who the client is, and what is said of it where one of the two is refused.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use clap::Args;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
pub(crate) use zk_session_tokio::Tls;
use zk_session_tokio::rustls::{AlertDescription, CertificateError, Error};
use zk_session_tokio::{Layer, Layered, Stream, TlsError};

use crate::exit::Exit;
use crate::failure::Failure;

/// What the command line says of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS and SASL")]
pub(crate) struct TlsArgs {
    /// Encrypt all connections and trust servers whose certificates those in FILE (PEM) vouch for
    #[arg(
        long = "tls-ca",
        value_name = "FILE",
        env = "ZKS_TLS_CA",
        hide_env_values = true,
        global = true
    )]
    ca: Vec<PathBuf>,
    /// Show the servers the certificate in FILE (PEM)
    #[arg(
        long = "tls-cert",
        value_name = "FILE",
        env = "ZKS_TLS_CERT",
        hide_env_values = true,
        global = true
    )]
    cert: Option<PathBuf>,
    /// The certificate's key (PEM, not encrypted), if it is not in the same file
    #[arg(
        long = "tls-key",
        value_name = "FILE",
        env = "ZKS_TLS_KEY",
        hide_env_values = true,
        global = true
    )]
    key: Option<PathBuf>,
    /// The name that the servers' certificates must have instead of that in --servers
    #[arg(
        long = "tls-name",
        value_name = "NAME",
        env = "ZKS_TLS_NAME",
        hide_env_values = true,
        global = true
    )]
    name: Option<String>,
}

impl TlsArgs {
    /// TLS as it is wanted; none if it is not.
    pub(crate) fn set_up(&self) -> Result<Option<Tls>, Failure> {
        if self.ca.is_empty() {
            let alone = [
                ("--tls-cert", self.cert.is_some()),
                ("--tls-key", self.key.is_some()),
                ("--tls-name", self.name.is_some()),
            ];
            return match alone.into_iter().find(|(_, given)| *given) {
                None => Ok(None),
                // To go on in the clear would be the worst that could be made of it.
                Some((option, _)) => Err(Failure::usage(
                    format!("{option} is of no use without --tls-ca"),
                    "--tls-ca FILE tells whom to trust, and has connections encrypted",
                )),
            };
        }
        let mut tls = Tls::builder().reload_on_connect();
        for file in &self.ca {
            tls = tls.ca_file(file);
        }
        match (&self.cert, &self.key) {
            (Some(cert), key) => tls = tls.identity_files(cert, key.as_ref().unwrap_or(cert)),
            (None, None) => {}
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "--tls-key is of no use without --tls-cert",
                    "--tls-cert FILE is the certificate that the key belongs to",
                ));
            }
        }
        if let Some(name) = &self.name {
            tls = tls.server_name(name);
        }
        tls.build().map(Some).map_err(|error| match error {
            TlsError::BadServerName { .. } => Failure::usage(
                format!("--tls-name: {error}"),
                "it must be a name or an address without a port",
            ),
            error => Failure::other(error.to_string(), Exit::Failed),
        })
    }
}

/// TLS for the connections of one session, which remembers what was refused.
#[derive(Clone, Debug)]
pub(crate) struct Secured {
    tls: Tls,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Mutex<Option<(String, Error)>>,
    /// How many attempts TLS has ended.
    count: watch::Sender<usize>,
}

impl Secured {
    pub(crate) fn new(tls: &Tls) -> Self {
        Self { tls: tls.clone(), seen: Arc::default() }
    }

    /// What the client is built with.
    pub(crate) fn layer(&self) -> Arc<dyn Layer> {
        Arc::new(self.clone())
    }

    /// What TLS has refused last; none if it has refused nothing.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        let last = self.seen.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(host, error)| failure(host, error))
    }

    /// Waits until TLS has ended so many attempts: as a certificate does not mend itself, there is
    /// nothing to wait for then.
    pub(crate) async fn hopeless(&self, attempts: usize) -> Failure {
        let mut count = self.seen.count.subscribe();
        // The sender lives as long as this.
        let _ = count.wait_for(|count| *count >= attempts).await;
        match self.refusal() {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

impl Seen {
    fn note(&self, host: &str, error: &io::Error) {
        if let Some(error) = of(error) {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((host.to_owned(), error.clone()));
            self.count.send_modify(|count| *count = count.saturating_add(1));
        }
    }
}

impl Layer for Secured {
    fn wrap(&self, tcp: TcpStream, host: &str) -> Layered {
        let (wrapped, seen, host) = (self.tls.wrap(tcp, host), self.seen.clone(), host.to_owned());
        Box::pin(async move {
            match wrapped.await {
                Ok(stream) => Ok(Box::new(Attentive { stream, seen: Some((seen, host)) }) as _),
                Err(error) => {
                    seen.note(&host, &error);
                    Err(error)
                }
            }
        })
    }
}

/// A stream whose first answer may be that the client is refused: in TLS 1.3 the server says so when
/// the client has already begun to speak.
struct Attentive {
    stream: Box<dyn Stream>,
    /// None once the server has answered.
    seen: Option<(Arc<Seen>, String)>,
}

impl AsyncRead for Attentive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if let (Some((seen, host)), Err(error)) = (self.seen.take(), &read) {
            seen.note(&host, error);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Attentive {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What rustls says in it, if it is of rustls.
fn of(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| inner.source()?.downcast_ref())
}

/// What a connection of its own, without a session, has failed with: how the program ends.
pub(crate) fn exit(error: &io::Error) -> Exit {
    if of(error).is_some() { Exit::Tls } else { Exit::NoConnection }
}

fn failure(host: &str, error: &Error) -> Failure {
    let (who, hint) = match error {
        Error::InvalidCertificate(error) => ("the server's certificate is refused: ", hint(error)),
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            // What some servers of TLS 1.2 say for the lack of one.
            | AlertDescription::HandshakeFailure,
        ) => (
            "the server refuses this client: ",
            "--tls-cert FILE and --tls-key FILE bring a certificate that the servers trust",
        ),
        Error::InvalidMessage(_) => ("", "is this the servers' port for TLS, secureClientPort?"),
        _ => ("", ""),
    };
    Failure::other(format!("TLS with {host}: {who}{error}"), Exit::Tls).hinted(hint)
}

fn hint(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "--tls-ca FILE must hold the certificate of who signed the server's"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "--servers must have the certificate's name, or --tls-name NAME"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "is the clock of this machine right? else the server needs another certificate"
        }
        _ => "",
    }
}
