//! Credentials: from where nobody else sees them, to the server and nowhere else.

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::args::Settings;
use crate::failure::Failure;

/// A scheme and what proves an identity in it.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) scheme: String,
    pub(crate) secret: Vec<u8>,
}

/// The secret stays out of logs and errors.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Credential {
    /// Splits `SCHEME:CREDENTIAL`. `from` names the place, for errors: the text itself is a secret.
    fn parse(text: &str, from: &str) -> Result<Self, Failure> {
        match text.split_once(':') {
            Some((scheme, secret)) if !scheme.is_empty() && !secret.is_empty() => {
                Ok(Self { scheme: scheme.to_owned(), secret: secret.as_bytes().to_vec() })
            }
            _ => Err(Failure::usage(
                format!("{from} holds no credential"),
                "it must be SCHEME:CREDENTIAL, such as digest:user:password",
            )),
        }
    }
}

/// All credentials that the settings name, in the order environment, files, terminal.
pub(crate) fn credentials(settings: &Settings) -> Result<Vec<Credential>, Failure> {
    let mut all = Vec::new();
    for name in &settings.auth_env {
        all.push(from_env(name)?);
    }
    for file in &settings.auth_file {
        all.append(&mut from_file(file)?);
    }
    for who in &settings.auth {
        all.push(from_terminal(who)?);
    }
    Ok(all)
}

/// From an environment variable.
pub(crate) fn from_env(name: &str) -> Result<Credential, Failure> {
    // Whoever wrote the credential itself here must not find it in a log.
    if name.contains(':') {
        return Err(Failure::usage(
            "--auth-env takes the name of an environment variable",
            "put the credential into the variable: others can read the command line",
        ));
    }
    let hint = "it must hold SCHEME:CREDENTIAL, such as digest:user:password";
    match env::var(name) {
        Ok(text) => Credential::parse(&text, &format!("the environment variable {name}")),
        Err(env::VarError::NotPresent) => {
            Err(Failure::usage(format!("the environment variable {name} is not set"), hint))
        }
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("the environment variable {name} is not UTF-8"), hint))
        }
    }
}

/// From a file; empty lines and those that begin with `#` are skipped.
pub(crate) fn from_file(file: &Path) -> Result<Vec<Credential>, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::io(format!("cannot read {}", file.display()), error))?;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let from = format!("{}:{}", file.display(), at.saturating_add(1));
            found.push(Credential::parse(line, &from)?);
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(
            format!("{} holds no credential", file.display()),
            "each line must be SCHEME:CREDENTIAL, such as digest:user:password",
        ));
    }
    Ok(found)
}

/// From the terminal, without an echo.
pub(crate) fn from_terminal(who: &str) -> Result<Credential, Failure> {
    let (scheme, user) = match who.split_once(':') {
        Some((scheme, user)) if !scheme.is_empty() && !user.is_empty() => (scheme, user),
        _ => {
            return Err(Failure::usage(
                "--auth takes SCHEME:USER and asks for the password",
                "such as --auth digest:alice; --auth-env and --auth-file ask nothing",
            ));
        }
    };
    if user.contains(':') {
        return Err(Failure::usage(
            "a password on the command line can be read by others; it was not used",
            "--auth SCHEME:USER asks for it; --auth-env and --auth-file bring it unseen",
        ));
    }
    let password = password(user, "--auth-env or --auth-file")?;
    let secret = format!("{user}:{password}").into_bytes();
    Ok(Credential { scheme: scheme.to_owned(), secret })
}

/// Asks for a password on the terminal, without an echo. `others`: from where else it can come.
pub(crate) fn password(user: &str, others: &str) -> Result<String, Failure> {
    rpassword::prompt_password(format!("password of {user}: ")).map_err(|error| {
        Failure::usage(
            format!("cannot ask for a password: {error}"),
            format!("{others} brings it without a terminal"),
        )
    })
}
