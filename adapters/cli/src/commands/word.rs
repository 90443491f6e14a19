//! `word`: a four-letter word to every server.

use clap::Args;
use serde_json::json;

use crate::access::Access;
use crate::args::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{FIELD, Out, printable};
use crate::tls;
use crate::words::{ask, hosts, is_refusal};

/// Ask every server a four-letter word, such as ruok, srvr or mntr
#[derive(Args, Debug)]
pub(crate) struct Word {
    /// The word
    #[arg(value_parser = word)]
    word: String,
}

fn word(text: &str) -> Result<String, String> {
    match text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        true => Ok(text.to_owned()),
        false => Err("it must have four letters, such as ruok, srvr, mntr or cons".to_owned()),
    }
}

impl Word {
    pub(crate) async fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        let mut failure = None;
        let access = Access::of(settings)?;
        let hosts = hosts(&settings.servers);
        for host in &hosts {
            match ask(&access, host, &self.word, settings.connect_timeout).await {
                Ok(answer) => {
                    if is_refusal(&answer) {
                        let what = format!(
                            "{host} does not answer {}: its 4lw.commands.whitelist must hold it",
                            self.word,
                        );
                        failure = failure.or(Some(Failure::other(what, Exit::Failed)));
                    }
                    if out.is_json() {
                        out.json_line(&json!({ "host": host, "answer": answer }))?;
                    } else {
                        if hosts.len() > 1 {
                            out.remark(&format!("{FIELD}{host}:{FIELD:#}"))?;
                        }
                        out.remark(printable(answer.trim_end()).as_ref())?;
                    }
                }
                Err(error) => {
                    if out.is_json() {
                        let error = error.to_string();
                        out.json_line(&json!({ "host": host, "error": error }))?;
                    }
                    let (what, exit) = (format!("{host}: {error}"), tls::exit(&error));
                    failure = failure.or(Some(Failure::other(what, exit)));
                }
            }
        }
        out.flush()?;
        failure.map_or(Ok(()), Err)
    }
}
