//! A ZooKeeper for tests, development and small single-node use, as a program: the embedded
//! ensemble of `zk-session-std` behind a command line and ZooKeeper's own configuration file.
//!
//! This library is what the program `zk-session-server` consists of, for its tests and for programs
//! that want to read a `zoo.cfg` in the same way:
//!
//! ```
//! use std::path::Path;
//! use zk_session_server::ZooCfg;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = "tickTime=500\nclientPortAddress=127.0.0.1\nclientPort=0\nsyncLimit=5\n";
//! let config = ZooCfg::parse(Path::new("zoo.cfg"), file.as_bytes())?;
//! for ignored in &config.ignored {
//!     println!("{ignored}"); // zoo.cfg:4: syncLimit is ignored: …
//! }
//! let ensemble = config.settings.builder().start()?;
//! # drop(ensemble);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod args;
mod error;
mod ignored;
mod properties;
mod settings;
mod zoo_cfg;

pub use args::Args;
pub use error::ConfigError;
pub use ignored::{Ignored, Why};
pub use settings::Settings;
pub use zoo_cfg::ZooCfg;
