//! The story every user must be able to trust, played on real sockets.
//!
//! A session creates an ephemeral znode that a second session watches. The first one's server is
//! killed: it loses its connection and resumes on another server, the same session with its znode.
//! Then it is cut off from all servers for longer than its timeout: it hears nothing, while the
//! ensemble expires it and the second session's watch fires. Only when the connection is back does
//! it learn, from the ensemble, that it has expired.

mod stage;
mod story;

pub use stage::{Embedded, Faults, Reachable, Stage};
pub use story::{Observed, StoryError, play};
