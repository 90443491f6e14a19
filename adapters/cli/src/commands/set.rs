//! `set`: new data for a znode; and where data comes from.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::stat::Known;
use crate::failure::Failure;
use crate::input;
use crate::output::Out;
use crate::zk::Zk;

/// Change data
#[derive(Args, Debug)]
pub(crate) struct Set {
    /// Whose data
    #[arg(value_parser = crate::args::path)]
    path: String,
    #[command(flatten)]
    source: Source,
    /// Only if this is the data's version
    #[arg(long, allow_negative_numbers = true)]
    version: Option<i32>,
}

/// Where data comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct Source {
    /// The data; `-` reads it from standard input
    #[arg(value_name = "DATA", conflicts_with = "file", allow_hyphen_values = true)]
    data: Option<String>,
    /// Take the data from FILE; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Source {
    /// Whether nothing was said.
    pub(crate) const fn is_none(&self) -> bool {
        self.data.is_none() && self.file.is_none()
    }

    /// The data; none if nothing was said.
    pub(crate) async fn read(&self) -> Result<Vec<u8>, Failure> {
        match (&self.data, &self.file) {
            (Some(data), _) if data == "-" => input::all().await,
            (Some(data), _) => Ok(data.clone().into_bytes()),
            (None, Some(file)) if file.as_os_str() == "-" => input::all().await,
            (None, Some(file)) => fs::read(file)
                .map_err(|error| Failure::io(format!("cannot read {}", file.display()), error)),
            (None, None) => Ok(Vec::new()),
        }
    }
}

impl Set {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if self.source.is_none() {
            return Err(Failure::usage(
                format!("no data for {}", self.path),
                "set PATH DATA, set PATH - (standard input) or set PATH --file FILE; '' is no data",
            ));
        }
        let stat = zk.set(&self.path, &self.source.read().await?, self.version).await?;
        match out.is_json() {
            true => out.show(&Known { path: &self.path, stat }),
            false => out.remark(&format!("version {}", stat.version)),
        }
    }
}
