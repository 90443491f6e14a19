//! What every adapter has to do, whatever its loop: one body for each scenario, run on each adapter,
//! on the embedded ensemble and on a real ZooKeeper of three servers.
//!
//! Almost all of it is waiting; `--test-threads 16` makes it short.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod asked;
mod driver;
mod embedded_driver;
mod ensembles;
mod fakes;
mod scenarios;
mod std_driver;
mod tokio_driver;

use critical_section as _; // linked for its implementation
use embedded_driver::Embedded;
use ensembles::{Ours, Real};
use std_driver::Std;
use tokio_driver::Tokio;

/// Tests of one scenario, one for each driver and ensemble; a function cannot make tests.
macro_rules! on {
    ($scenario:ident: $($test:ident $driver:ident $ensemble:ident),+) => {
        mod $scenario {
            $(
                #[test]
                fn $test() {
                    crate::scenarios::$scenario::<crate::$driver, crate::$ensemble>();
                }
            )+
        }
    };
}

macro_rules! on_all {
    ($($scenario:ident)+) => {
        $(on!($scenario:
            std_on_embedded Std Ours, tokio_on_embedded Tokio Ours, embedded_on_embedded Embedded Ours,
            std_on_zookeeper Std Real, tokio_on_zookeeper Tokio Real,
            embedded_on_zookeeper Embedded Real
        );)+
    };
}

on_all! {
    connect
    fail_over
    cut_shorter_than_the_timeout
    cut_longer_than_the_timeout
    expire
    oversize_reply
    oversize_request
    slow_application
    cancel_at_every_await
    drop_in_mid_flight
    close
    garbage_from_a_server
    server_closes_at_once
    silent_server
}

// Only those that have one.
on!(runtime_shut_down:
    tokio_on_embedded Tokio Ours, embedded_on_embedded Embedded Ours,
    tokio_on_zookeeper Tokio Real, embedded_on_zookeeper Embedded Real
);
