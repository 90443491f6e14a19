//! Operation codes and create modes.

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// What a request asks for.
        ///
        /// # Source
        /// `ZooDefs.OpCode`, 3.8.0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum OpCode {
            $($(#[$doc])* $name,)+
        }

        impl OpCode {
            /// Names a code from the wire; `None` if it is not one that a client sends.
            pub const fn from_wire(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The code as the wire carries it.
            pub const fn to_wire(self) -> i32 {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

opcodes! {
    /// Creates a znode.
    Create = 1,
    /// Deletes a znode.
    Delete = 2,
    /// Asks for a znode's `Stat`.
    Exists = 3,
    /// Asks for a znode's data.
    GetData = 4,
    /// Sets a znode's data.
    SetData = 5,
    /// Asks for a znode's ACL.
    GetAcl = 6,
    /// Sets a znode's ACL.
    SetAcl = 7,
    /// Asks for the names of a znode's children.
    GetChildren = 8,
    /// Makes the server catch up with the leader.
    Sync = 9,
    /// Keeps the session alive.
    Ping = 11,
    /// As getChildren, with the znode's `Stat`.
    GetChildren2 = 12,
    /// Checks a version; only within a multi.
    Check = 13,
    /// Several writes, all or nothing.
    Multi = 14,
    /// As create, answered with the `Stat`.
    Create2 = 15,
    /// Changes the ensemble's membership.
    Reconfig = 16,
    /// Asks whether a watch is registered.
    CheckWatches = 17,
    /// Removes watches.
    RemoveWatches = 18,
    /// Creates a container znode.
    CreateContainer = 19,
    /// Creates a znode with a time to live.
    CreateTtl = 21,
    /// Several reads.
    MultiRead = 22,
    /// Adds an identity to the connection.
    Auth = 100,
    /// Re-registers one-shot watches after a reconnect.
    SetWatches = 101,
    /// A SASL token.
    Sasl = 102,
    /// Asks for the ephemeral znodes of this session.
    GetEphemerals = 103,
    /// Counts all descendants.
    GetAllChildrenNumber = 104,
    /// As setWatches, with persistent watches.
    SetWatches2 = 105,
    /// Adds a persistent watch.
    AddWatch = 106,
    /// Asks who the connection is.
    WhoAmI = 107,
    /// Ends the session.
    CloseSession = -11,
}

/// What kind of znode a create makes.
///
/// # Source
/// `CreateMode`, 3.8.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CreateMode {
    /// Stays until deleted.
    #[default]
    Persistent,
    /// Goes with the session that made it.
    Ephemeral,
    /// Stays until deleted; the server appends ten digits to its name.
    PersistentSequential,
    /// Goes with its session; the server appends ten digits to its name.
    EphemeralSequential,
    /// Goes some time after its last child has gone.
    Container,
    /// Goes when it has had no change for its time to live, and no children.
    PersistentTtl,
    /// As `PersistentTtl`, with ten digits appended.
    PersistentSequentialTtl,
}

impl CreateMode {
    /// The flags field of a create request.
    pub const fn to_flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::PersistentTtl => 5,
            Self::PersistentSequentialTtl => 6,
        }
    }

    /// The mode of a flags field; `None` if there is none.
    pub const fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentTtl,
            6 => Self::PersistentSequentialTtl,
            _ => return None,
        })
    }

    /// Whether the server appends ten digits.
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialTtl
        )
    }

    /// Whether the znode goes with its session.
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }
}
