//! The device that the guide builds.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use zk_session::wire::CreateMode;
use zk_session_std::{Client, EmbeddedEnsemble};

use super::Options;
use super::observer::PATIENCE;
use super::qemu::Qemu;

/// It is visible, does what `/config` says from the first time on, and is gone when it is dead.
pub(crate) fn device(program: &Path, options: &Options) -> Result<()> {
    let ensemble = EmbeddedEnsemble::builder().servers(1).start()?;
    let hosts = ensemble.connect_string();
    let client = Client::builder(&hosts).timeout(Duration::from_secs(10)).connect()?;
    let hosts = hosts.replace("127.0.0.1", "10.0.2.2");
    let qemu =
        Qemu::builder(program).argument("connect", hosts).verbose(options.verbose).start()?;
    let mut mark = qemu.log().mark();
    for (words, period) in [("/config is not there", "500"), ("every 500 ms", "250")] {
        qemu.log().wait_for(mark, &[words], PATIENCE)?;
        mark = qemu.log().mark();
        if client.exists("/config")?.is_none() {
            client.create("/config", period.as_bytes(), CreateMode::Persistent)?;
        } else {
            client.set_data("/config", period.as_bytes(), None)?;
        }
    }
    qemu.log().wait_for(mark, &["every 250 ms"], PATIENCE)?;
    qemu.log().wait_for(Default::default(), &["registered: true"], PATIENCE)?;
    let (_, stat) = client.get_data("/devices/7")?;
    ensure!(stat.ephemeral_owner != 0, "/devices/7 would stay after its device");
    println!("firmware: the guide's device is there and does as it is told");
    Ok(())
}
