//! What is generated from the command line's own description: completions and manual pages.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Out;

/// Print what makes a shell complete this program's command line
///
/// For bash: zks completions bash > ~/.local/share/bash-completion/completions/zks
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "zks", &mut text);
        out.raw(&text)
    }
}

/// Print the manual page, or write one page for each command
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write zks.1, zks-get.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let Some(dir) = &self.dir else {
            return out.raw(&page(&Cli::command()).map_err(|e| Failure::io("cannot render", e))?);
        };
        let failed = |error| Failure::io(format!("cannot write to {}", dir.display()), error);
        fs::create_dir_all(dir).map_err(failed)?;
        let mut command = Cli::command();
        command.build();
        fs::write(dir.join("zks.1"), page(&Cli::command()).map_err(failed)?).map_err(failed)?;
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("zks-{}", sub.get_name());
            let mut text = Vec::new();
            let sub = sub.clone().name(name.clone());
            clap_mangen::Man::new(sub).render(&mut text).map_err(failed)?;
            fs::write(dir.join(format!("{name}.1")), text).map_err(failed)?;
        }
        Ok(())
    }
}

/// The page of the whole program, with exit codes where readers of manuals look for them.
fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let without = command.clone().after_help("").after_long_help("");
    clap_mangen::Man::new(without).render(&mut text)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (exit, meaning) in Exit::TABLE {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    let variables = [
        ("ZKS_SERVERS", "the servers, where --servers names none"),
        ("ZKS_TLS_CA, ZKS_TLS_CERT, ZKS_TLS_KEY, ZKS_TLS_NAME", "as --tls-ca and so on"),
        ("ZKS_SASL_USER", "as --sasl-user"),
        ("ZKS_SASL_PASSWORD", "the password of SASL, where no file is named"),
        ("ZKS_HISTORY", "the file of the shell's history; empty for none"),
        ("NO_COLOR", "if set, nothing is coloured"),
    ];
    for (name, meaning) in variables {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff.to_writer(&mut text)?;
    Ok(text)
}
