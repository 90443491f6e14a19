//! Who the client is and whom it trusts: found out once, however many sessions are opened, so that
//! nobody is asked twice for a password.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::Args;
use tokio::net::TcpStream;
use zk_session_tokio::{DigestMd5, Layer, Stream};

use crate::args::Settings;
use crate::auth::{self, Credential};
use crate::failure::Failure;
use crate::tls::{Secured, Tls};

/// What the command line says of SASL.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS and SASL")]
pub(crate) struct SaslArgs {
    /// Prove by SASL (DIGEST-MD5) to be USER; the password comes from --sasl-password-file, from
    /// ZKS_SASL_PASSWORD or from the terminal
    #[arg(
        long = "sasl-user",
        value_name = "USER",
        env = "ZKS_SASL_USER",
        hide_env_values = true,
        global = true
    )]
    user: Option<String>,
    /// The file whose only line is the password
    #[arg(long = "sasl-password-file", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
}

/// The environment variable that holds the password.
const PASSWORD: &str = "ZKS_SASL_PASSWORD";

impl SaslArgs {
    pub(crate) const fn is_wanted(&self) -> bool {
        self.user.is_some()
    }

    fn set_up(&self) -> Result<Option<DigestMd5>, Failure> {
        let Some(user) = &self.user else {
            return match self.password_file {
                None => Ok(None),
                Some(_) => Err(Failure::usage(
                    "--sasl-password-file is of no use without --sasl-user",
                    "--sasl-user USER tells whose password it is",
                )),
            };
        };
        if user.is_empty() {
            return Err(Failure::usage("--sasl-user is empty", "such as --sasl-user alice"));
        }
        if user.contains(':') {
            return Err(Failure::usage(
                "a password on the command line can be read by others; it was not used",
                "--sasl-user takes the name alone; --sasl-password-file brings the password",
            ));
        }
        Ok(Some(DigestMd5::new(user, self.password(user)?)))
    }

    fn password(&self, user: &str) -> Result<String, Failure> {
        let (password, from) = match &self.password_file {
            Some(file) => {
                let name = file.display().to_string();
                let text = fs::read_to_string(file)
                    .map_err(|error| Failure::io(format!("cannot read {name}"), error))?;
                (text.trim_end_matches(['\n', '\r']).to_owned(), name)
            }
            None => match env::var(PASSWORD) {
                Ok(text) => (text, PASSWORD.to_owned()),
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(Failure::usage(format!("{PASSWORD} is not UTF-8"), ""));
                }
                Err(env::VarError::NotPresent) => {
                    let others = format!("--sasl-password-file or {PASSWORD}");
                    (auth::password(user, &others)?, "the terminal".to_owned())
                }
            },
        };
        if password.is_empty() || password.contains('\n') {
            let what = format!("{from} holds no password: one line is wanted");
            return Err(Failure::usage(what, "--sasl-password-file FILE names another file"));
        }
        Ok(password)
    }
}

/// What was found out.
#[derive(Debug)]
pub(crate) struct Access {
    /// To be shown to the servers once there is a session.
    pub(crate) credentials: Vec<Credential>,
    /// To be proved on every connection.
    pub(crate) sasl: Option<DigestMd5>,
    tls: Option<Tls>,
}

/// Room for it.
pub(crate) type Known = Arc<OnceLock<Arc<Access>>>;

impl Access {
    /// What the settings say, found out by the first who asks.
    pub(crate) fn of(settings: &Settings) -> Result<Arc<Self>, Failure> {
        if let Some(known) = settings.access.get() {
            return Ok(known.clone());
        }
        // What is on the command line is looked at before anybody is asked anything.
        let tls = settings.tls.set_up()?;
        let sasl = settings.sasl.set_up()?;
        let access = Arc::new(Self { credentials: auth::credentials(settings)?, sasl, tls });
        Ok(settings.access.get_or_init(|| access).clone())
    }

    /// TLS for one session's connections; none if they are to be in the clear.
    pub(crate) fn secured(&self) -> Option<Secured> {
        self.tls.as_ref().map(Secured::new)
    }

    /// A connection to `name:port` without a session.
    pub(crate) async fn connect(&self, host: &str) -> std::io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect(host).await?;
        match self.secured() {
            None => Ok(Box::new(tcp)),
            Some(secured) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                let layer: Arc<dyn Layer> = secured.layer();
                layer.wrap(tcp, name.trim_matches(['[', ']'])).await
            }
        }
    }
}
