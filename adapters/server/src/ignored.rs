//! Keys of ZooKeeper's configuration that change nothing here, and why.

use std::fmt;
use std::path::PathBuf;

/// An entry that was read and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ignored {
    /// The file.
    pub file: PathBuf,
    /// The line that the entry starts in; the first is 1.
    pub line: usize,
    /// The key as it stands there.
    pub key: String,
    /// Why it changes nothing.
    pub why: Why,
}

/// Why an entry changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// ZooKeeper needs it for what this server does not have or do: a quorum, threads to be tuned,
    /// caches, logs and snapshots of its own format.
    NotMeaningful,
    /// It asks ZooKeeper for something that this server cannot do.
    NotSupported,
    /// ZooKeeper 3.8 has no such key.
    Unknown,
}

impl Why {
    /// Of a key that this server does not read, without the prefix `zookeeper.`.
    ///
    /// # Source
    /// `QuorumPeerConfig.parseProperties` and the names of all system properties that the classes
    /// of 3.8.0 read.
    pub(crate) fn of(key: &str) -> Self {
        let is = |keys: &[&str], families: &[&str]| {
            keys.contains(&key) || families.iter().any(|family| key.starts_with(family))
        };
        if is(NOT_SUPPORTED, NOT_SUPPORTED_FAMILIES) {
            Self::NotSupported
        } else if is(NOT_MEANINGFUL, NOT_MEANINGFUL_FAMILIES) {
            Self::NotMeaningful
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMeaningful => "it has no meaning here",
            Self::NotSupported => "this server does not support it",
            Self::Unknown => "ZooKeeper has no such key",
        })
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, why } = self;
        write!(f, "{}:{line}: {key} is ignored: {why}", file.display())
    }
}

/// What a user would miss: encryption, other ways to authenticate, metrics and administration over
/// HTTP, limits.
const NOT_SUPPORTED: &[&str] = &[
    "allowSaslFailedClients",
    "audit.enable",
    "emulate353TTLNodes",
    "ensembleAuthName",
    "letAnySaslUserDoX",
    "portUnification",
    "readonlymode.enabled",
    "requireClientAuthScheme",
    "secureClientPort",
    "secureClientPortAddress",
    "sessionRequireClientSASLAuth",
    "skipACL",
    "superUser",
];
const NOT_SUPPORTED_FAMILIES: &[&str] = &[
    "DigestAuthenticationProvider.",
    "SASLAuthenticationProvider.",
    "X509AuthenticationProvider.",
    "admin.",
    "authProvider.",
    "client.portUnification",
    "connection_throttle_",
    "enforce.auth.",
    "kerberos.",
    "metricsProvider.",
    "request_throttle",
    "sasl.",
    "security.",
    "ssl.",
];

/// What only a quorum, a Java virtual machine, or ZooKeeper's own log and snapshots need.
const NOT_MEANINGFUL: &[&str] = &[
    "bitHashCacheSize",
    "clientPortListenBacklog",
    "clientTcpKeepAlive",
    "closeSessionTxn.enabled",
    "cnxTimeout",
    "commitLogCount",
    "connectToLearnerMasterLimit",
    "dataLogDir",
    "datadir.autocreate",
    "db.autocreate",
    "digest.enabled",
    "dynamicConfigFile",
    "electionAlg",
    "electionPort",
    "electionPortBindRetry",
    "enableEagerACLCheck",
    "flushDelay",
    "forceSnapshotSync",
    "forward_learner_requests_to_commit_processor_disabled",
    "initLimit",
    "intBufferStartingSizeBytes",
    "leaderConnectDelayDuringRetryMs",
    "leaderServes",
    "maxBatchSize",
    "maxGetChildrenResponseCacheSize",
    "maxInProcessingDeadWatchers",
    "maxResponseCacheSize",
    "maxWriteQueuePollTime",
    "observerMasterPort",
    "oraclePath",
    "peerType",
    "preAllocSize",
    "quorumCnxnTimeoutMs",
    "quorumListenOnAllIPs",
    "reconfigEnabled",
    "request_stale_connection_check",
    "request_stale_latency_check",
    "requireKerberosConfig",
    "serverCnxnFactory",
    "snapCount",
    "snapSizeLimitInKb",
    "snapshotSizeFactor",
    "sslQuorum",
    "sslQuorumReloadCertFiles",
    "standaloneEnabled",
    "syncEnabled",
    "syncLimit",
    "tcpKeepAlive",
    "throttled_op_wait_time",
    "txnLogSizeLimitInKb",
    "version",
    "warningThresholdMs",
    "watchManagerName",
];
const NOT_MEANINGFUL_FAMILIES: &[&str] = &[
    "autopurge.",
    "commitProcessor.",
    "fastleader.",
    "follower.",
    "fsync.",
    "group.",
    "jvm.pause.",
    "leader.",
    "learner.",
    "messageTracker.",
    "multiAddress.",
    "netty.",
    "nio.",
    "observer.",
    "observerMaster.",
    "pathStats.",
    "quorum.",
    "server.",
    "snapshot.",
    "watcherClean",
    "weight.",
    "znode.container.maxPerMinute",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(Why::of("server.1"), Why::NotMeaningful);
        assert_eq!(Why::of("syncLimit"), Why::NotMeaningful);
        assert_eq!(Why::of("ssl.keyStore.location"), Why::NotSupported);
        assert_eq!(Why::of("secureClientPort"), Why::NotSupported);
        assert_eq!(Why::of("tickTim"), Why::Unknown);
    }

    #[test]
    fn the_tables_are_in_order_and_have_nothing_twice() {
        for table in
            [NOT_SUPPORTED, NOT_SUPPORTED_FAMILIES, NOT_MEANINGFUL, NOT_MEANINGFUL_FAMILIES]
        {
            assert!(table.is_sorted_by(|a, b| a < b));
        }
        assert!(NOT_SUPPORTED.iter().all(|key| !NOT_MEANINGFUL.contains(key)));
    }
}
