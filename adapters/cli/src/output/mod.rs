//! What commands print: for people, or one JSON object a line for programs.

mod data;
mod style;
mod znode;

use std::io::{self, BufWriter, Stdout, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use serde_json::Value;

pub(crate) use data::{Data, printable};
pub(crate) use style::*;
pub(crate) use znode::{owner, stat_fields, stat_lines, zxid};

use crate::failure::Failure;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// What it means for this stream.
    pub(crate) fn choice(self, stream: &impl anstream::stream::RawStream) -> anstream::ColorChoice {
        match self {
            Self::Auto => AutoStream::choice(stream),
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}

/// Something that can be printed both ways.
pub(crate) trait Show {
    /// For people: any number of lines, styled; styles are dropped where they are not wanted.
    fn human(&self, to: &mut dyn Write) -> io::Result<()>;

    /// For programs: one object.
    fn json(&self) -> Value;
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Out {
    stream: BufWriter<AutoStream<Stdout>>,
    json: bool,
}

impl Out {
    pub(crate) fn new(json: bool, colour: Colour) -> Self {
        let stdout = io::stdout();
        let choice = colour.choice(&stdout);
        Self { stream: BufWriter::new(AutoStream::new(stdout, choice)), json }
    }

    /// Whether programs read it.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints it the way that was asked for.
    pub(crate) fn show(&mut self, what: &dyn Show) -> Result<(), Failure> {
        if self.json {
            return self.json_line(&what.json());
        }
        what.human(&mut self.stream).map_err(unheard)
    }

    /// Prints it and sees that it arrives: of a stream of events each is wanted at once.
    pub(crate) fn show_now(&mut self, what: &dyn Show) -> Result<(), Failure> {
        self.show(what)?;
        self.flush()
    }

    /// One object.
    pub(crate) fn json_line(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.stream, "{value}").map_err(unheard)
    }

    /// One line for people; programs are spared it.
    pub(crate) fn remark(&mut self, line: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        writeln!(self.stream, "{line}").map_err(unheard)
    }

    /// Bytes as they are, past everything that looks at them.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.flush()?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(unheard)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stream.flush().map_err(unheard)
    }

    /// Whether a person sees it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stream.get_ref().is_terminal()
    }
}

/// A reader who has gone is no failure worth a word.
fn unheard(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::io("cannot write the output", error),
    }
}

/// Tells on standard error why something failed, in the way that was asked for.
pub(crate) fn complain(failure: &Failure, json: bool, colour: Colour) {
    let stderr = io::stderr();
    let choice = colour.choice(&stderr);
    let mut stderr = AutoStream::new(stderr, choice);
    // Where even this cannot be said there is nobody left to say it to.
    let _ = match failure {
        Failure::Unheard => Ok(()),
        _ if json => writeln!(stderr, "{}", failure.json()),
        _ => {
            let mut told =
                writeln!(stderr, "{ERROR}error:{ERROR:#} {}", printable(&failure.to_string()));
            if let Some(hint) = failure.hint() {
                told = told.and_then(|()| writeln!(stderr, "{HINT}hint:{HINT:#} {hint}"));
            }
            told
        }
    };
}
