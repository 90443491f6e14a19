//! In place of TLS where the program is built without it: nothing to ask for, nothing to do.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use clap::Args;
use zk_session_tokio::Layer;

use crate::exit::Exit;
use crate::failure::Failure;

/// There is nothing to say.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {}

/// There is none.
pub(crate) type Tls = Infallible;

impl TlsArgs {
    pub(crate) const fn set_up(&self) -> Result<Option<Tls>, Failure> {
        Ok(None)
    }
}

/// There is none.
#[derive(Clone, Debug)]
pub(crate) struct Secured(Infallible);

impl Secured {
    pub(crate) const fn new(tls: &Tls) -> Self {
        match *tls {}
    }

    pub(crate) fn layer(&self) -> Arc<dyn Layer> {
        match self.0 {}
    }

    pub(crate) const fn refusal(&self) -> Option<Failure> {
        match self.0 {}
    }

    pub(crate) async fn hopeless(&self, _: usize) -> Failure {
        match self.0 {}
    }
}

pub(crate) const fn exit(_: &io::Error) -> Exit {
    Exit::NoConnection
}
