//! ZooKeeper sessions on microcontrollers: no heap, no threads, memory from the caller.
//!
//! One task drives the session over any transport of `embedded-io-async`, and all others use it
//! through `&self`: a device that registers as an ephemeral znode, follows its configuration, and is
//! known to be gone within its timeout when it dies. The machine inside is that of `zk_session`; this
//! crate carries its bytes and its time.
//!
//! # An application
//! On `embassy`, with the features `embassy-time` here and `tcp`, `proto-ipv4` of `embassy-net`:
//!
//! ```
//! use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
//! use embedded_nal_async::TcpConnect;
//! use zk_session::Duration;
//! use zk_session::client::{Cause, ClientConfig, KeeperState};
//! use zk_session::wire::CreateMode;
//! use zk_session_embedded::{Clock, Error, Session, SessionEvent, Small, Tcp};
//! # use zk_session_embedded::Timer;
//!
//! static SESSION: Session<'static, CriticalSectionRawMutex> = Session::new();
//!
//! // In `main`, once; `memory` from a `StaticCell<Small>`, `seed` from the random number generator.
//! fn open(memory: &'static mut Small, seed: u64, clock: impl Clock) {
//!     let config = ClientConfig::new("10.0.0.1,10.0.0.2,10.0.0.3/plant", seed)
//!         .timeout(Duration::from_secs(10));
//!     SESSION.open(config, memory, clock.now()).expect("the hosts, and the memory, are fine");
//! }
//!
//! // A task: #[embassy_executor::task]. `stack` is a `TcpClient` of `embassy-net`, `time` an
//! // `EmbassyTimer`.
//! async fn drive(
//!     stack: impl TcpConnect,
//!     time: impl Clock + embedded_hal_async::delay::DelayNs,
//! ) -> Result<(), Error> {
//!     let dial = Tcp::new(stack); // hosts that are names: .resolving(DnsSocket::new(net))
//!     let mut driver = SESSION.driver(&dial, time)?;
//!     // An expired session is followed by a new one; one that was closed is not.
//!     while driver.run().await.state == KeeperState::Expired {
//!         driver.reopen();
//!     }
//!     Ok(())
//! }
//!
//! // Another task.
//! async fn device() -> Result<(), Error> {
//!     let mut events = SESSION.events()?;
//!     let (mut path, mut config) = ([0; 64], [0; 128]);
//!     loop {
//!         match events.next(&mut path).await? {
//!             SessionEvent::State { cause: Cause::Established, .. } => {
//!                 SESSION.create("/devices/7", b"up", CreateMode::Ephemeral).await?;
//!             }
//!             SessionEvent::State { .. } => continue,
//!             // A watch has fired, or was missed, or lost: look again.
//!             _ => {}
//!         }
//!         let (config, _stat) = SESSION.get_data_watched("/config", &mut config).await?;
//!         apply(config);
//!     }
//! }
//! # fn apply(_: &[u8]) {}
//! ```
//!
//! # Memory
//! [`Memory`] holds all buffers, and is [`Tiny`], [`Small`], [`Std`] or of your own measures. The
//! futures hold none.
//!
//! # Dropping futures
//! Every future of this crate may be dropped at any point, as in `select` or a timeout, and nothing
//! is lost: half a frame lies in the session's memory, not in the future. A dropped request gives up
//! its answer and nothing else. What is asked of transports for this is said at [`Dial`].
//!
//! A future that was polled and is neither polled again nor dropped keeps its answer in the receive
//! buffer, and the session from reading; when that would cost a deadline the answer is thrown away
//! ([`Error::NotTaken`]).
//!
//! # Features
//! None is on by default, all are additive: `embassy-time` (`EmbassyTimer`), `ipv6` (addresses of
//! hosts), `log` and `defmt` (diagnostics).
#![no_std]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod blocking;
mod call;
mod children;
mod dial;
mod driver;
mod error;
mod events;
mod log;
mod memory;
mod operations;
mod session;
mod state;
mod store;
mod time;
mod trace;

pub use call::Call;
pub use children::Children;
pub use dial::{Dial, NoResolver, Resolve, Tcp};
pub use driver::Driver;
pub use error::{DialError, Error};
pub use events::{Events, SessionEvent};
pub use memory::{CHUNK, Memory, SUBSCRIBERS, Small, Std, Tiny};
pub use session::{End, OpenError, Session};
pub use store::{StoreError, TicketStore};
#[cfg(feature = "embassy-time")]
pub use time::EmbassyTimer;
pub use time::{Clock, Timer};
