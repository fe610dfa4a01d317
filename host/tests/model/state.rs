//! What the model knows at one moment: database, cache, queue, and where each process is in its work.
//!
//! Small on purpose. Two users, one bucket that both are in, and a few events; a set of events is a byte. Tokens and processes that
//! differ only in their names are one state (see [`State::canonical`]).

/// Users; the mint is apart, because nothing here recharges.
pub const USERS: usize = 2;
/// The queue's partitions; a payer's events are in the one of the payer's number.
pub const PARTITIONS: usize = 2;
/// Processes of one kind: relays, settlers, loaders.
pub const PROCESSES: usize = 2;
/// Contents at most; see [`crate::world::Content`].
pub const CONTENTS: usize = 4;

/// A set of contents, by their numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(u8);

impl Set {
    /// Of these.
    pub fn of(contents: &[u8]) -> Self {
        contents.iter().fold(Self::default(), |set, &content| set.with(content))
    }
    /// And this one.
    pub fn with(self, content: u8) -> Self {
        Self(self.0 | 1 << content)
    }
    /// But these.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Whether it is in.
    pub fn has(self, content: u8) -> bool {
        self.0 & 1 << content != 0
    }
    /// Whether nothing is in.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// What is in, in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..CONTENTS as u8).filter(move |&content| self.has(content))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A balance with its version, as in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Settled {
    pub balance: i8,
    pub version: u8,
}

/// What the database did with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    Posted,
    Voided,
}

/// The database: `db::Ledger` and `db::Deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Db {
    pub accounts: [Settled; USERS],
    /// Payers' records: what was done with which content, in order of content. With the gate one at most for each event.
    pub records: Vec<(u8, Fate)>,
    /// Set aside, for another try or an operator.
    pub waiting: Set,
}

/// An account as the cache has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cached {
    pub settled: Settled,
    pub holds: Set,
}

/// The bucket: all that a failover takes from one moment of the past.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub epoch: bool,
    pub accounts: [Option<Cached>; USERS],
    /// The lease on an absent account; 0 is none.
    pub loading: [u8; USERS],
    /// The outcomes that are remembered.
    pub outcomes: Set,
    /// Entries with their numbers.
    pub outbox: Vec<(u8, u8)>,
    /// The number of the last entry that was ever appended; 0 is none.
    pub last: u8,
    /// The lease of the bucket's relay; 0 is none.
    pub relaying: u8,
    /// Tokens given out; counted only where they are not unique.
    pub tokens: u8,
}

/// Where a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Carrying {
    Nothing,
    /// Read from the outbox, not yet acknowledged by the queue: entry, content.
    InHand(u8, u8),
    /// Acknowledged, not yet removed: entry.
    Published(u8),
    /// Recovering the bucket: what settle has still to pass in each partition.
    Recovering([u8; PARTITIONS]),
}

/// One host's relay of the bucket. It may have lost its lease without knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relay {
    pub token: u8,
    /// The last entry it has read.
    pub read: u8,
    pub carrying: Carrying,
}

/// Where a batch is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// So many from a partition's committed offset on.
    Queue { partition: u8, count: u8 },
    /// The events that were set aside.
    Waiting,
}

/// How far a settler is with its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Settling {
    Taken,
    /// The database has committed; the accounts that are still to be released, and all as the transaction saw them.
    Releasing {
        left: [bool; USERS],
        settled: [Settled; USERS],
    },
}

/// One host's settler with a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    pub source: Source,
    pub contents: Vec<u8>,
    pub settling: Settling,
}

/// One host's load of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Load {
    pub user: u8,
    pub token: u8,
    /// The payer's events that the database had set aside.
    pub waiting: Option<Set>,
    /// What the database had.
    pub settled: Option<Settled>,
}

/// A void on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Void {
    pub content: u8,
    /// The payer's account after the database's transaction.
    pub settled: Option<Settled>,
}

/// What bounded faults and requests are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub tries: [u8; CONTENTS],
    pub flushes: u8,
    pub failovers: u8,
    pub crashes: u8,
    /// Relays that lose their lease because they pause.
    pub pauses: u8,
    pub asides: u8,
    pub voids: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub db: Db,
    pub bucket: Bucket,
    /// What the replica has: some moment of the past.
    pub replica: Option<Box<Bucket>>,
    /// What is not committed, by partition.
    pub queue: [Vec<u8>; PARTITIONS],
    pub relays: [Option<Relay>; PROCESSES],
    pub settlers: [Option<Batch>; PROCESSES],
    pub loads: [Option<Load>; PROCESSES],
    pub void: Option<Void>,
    /// Requests that have asked the database and are about to hold.
    pub asking: Set,
    /// Contents that a client was told are held. Nobody in the model reads it but the properties.
    pub acknowledged: Set,
    pub left: Left,
}

impl Bucket {
    /// Without anything, as after a flush.
    pub fn empty() -> Self {
        Self {
            epoch: false,
            accounts: [None; USERS],
            loading: [0; USERS],
            outcomes: Set::default(),
            outbox: Vec::new(),
            last: 0,
            relaying: 0,
            tokens: 0,
        }
    }
}

impl State {
    /// Processes of one kind are alike: in order. Their numbers mean nothing from one state to the next.
    pub fn canonical(mut self) -> Self {
        self.relays.sort_unstable();
        self.settlers.sort_unstable();
        self.loads.sort_unstable();
        self
    }

    /// The smallest token that nobody has or may get back from the replica: that stands for one that was never given out.
    pub fn fresh_token(&self) -> u8 {
        let of = |bucket: &Bucket, token| bucket.relaying == token || bucket.loading.contains(&token);
        let taken = |token| {
            of(&self.bucket, token)
                || self.replica.as_ref().is_some_and(|bucket| of(bucket, token))
                || self.relays.iter().flatten().any(|relay| relay.token == token)
                || self.loads.iter().flatten().any(|load| load.token == token)
        };
        (1..u8::MAX).find(|&token| !taken(token)).unwrap_or(u8::MAX)
    }
}
