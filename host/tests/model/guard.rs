//! The protections of the protocol, each of which can be taken away.

/// One protection. What it says is what is done while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Guard {
    /// A load writes the cache only while its lease stands (`Cache::fill`).
    LoadLease,
    /// A release that meets an absent account ends the lease on it (`Cache::release`).
    ReleaseEndsLoad,
    /// A recovery begins once no relay can have an event in its hands: its lease and its delivery time-out have passed.
    RecoveryWaitsForRelay,
    /// A recovery begins once the outbox that is left is empty.
    RecoveryDrainsOutbox,
    /// A recovery ends once settle has passed the queue's ends that were taken at its beginning.
    RecoveryWaitsForQueue,
    /// What is cached when a recovery ends, accounts and leases on them, is dropped (`Outbox::set_epoch`).
    RecoveryDropsAccounts,
    /// An account with open holds neither expires nor is evicted.
    HoldsKeepAccount,
    /// The outcome of an event is not forgotten while its hold is open.
    HoldKeepsOutcome,
    /// A bucket without epoch answers no hold.
    Epoch,
    /// The epoch names the history of data that it was set in (Redis's `master_replid`): what a copy that takes over has of it is none,
    /// and a recovery ends only in the history that it was seen to in (`Outbox::set_epoch`).
    EpochNamesServer,
    /// A hold names the epoch under which the database was asked about its event (`Cache::epoch` and `Cache::hold`).
    HoldNamesEpoch,
    /// The database is asked about an event that the cache does not know (`Ledger::forgotten`).
    Lookup,
    /// The payer's record is unique: an event is posted or voided once (`db::Ledger::post` and `void`).
    Gate,
    /// A release takes the database's balance only if its version is newer.
    Version,
    /// A relay removes from the outbox only what it has a valid lease for (`Outbox::remove`).
    RelayToken,
    /// A token is never given out again, not even by a server that lost its data.
    TokensUnique,
    /// A relay reads from the outbox's first entry on, not from where it was.
    RelayReadsFirst,
    /// A relay that finds its outbox ending before what it has read drops the epoch and starts over (`Outbox::drop_epoch`).
    ShortOutbox,
    /// A load brings the events that wait in the database, for another try or an operator, as open holds.
    LoadBringsWaiting,
    /// A load reads those events before it reads the balance.
    LoadReadsWaitingFirst,
}

/// Which protections are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards(u32);

impl Guards {
    /// Every one.
    pub const ALL: Self = Self(u32::MAX);

    /// All of these but one.
    pub const fn without(self, guard: Guard) -> Self {
        Self(self.0 & !(1 << guard as u32))
    }

    /// Whether it is there.
    pub const fn has(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u32) != 0
    }
}
