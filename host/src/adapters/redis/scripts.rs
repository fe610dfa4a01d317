//! The scripts. Each is known to the server by the digest of its text, and is sent as text only where the server does not know it.

use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs};

/// A script as the server knows it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    digest: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }
}

/// A script with what it is called with. The keys come first; the first of them decides on the node.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) script: &'static LazyLock<Script>,
    pub(super) key: String,
    pub(super) cmd: Cmd,
}

impl Call {
    pub(super) fn new(script: &'static LazyLock<Script>, keys: &[&str]) -> Self {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.digest).arg(keys.len()).arg(keys);
        Self { script, key: keys.first().map(|key| (*key).to_owned()).unwrap_or_default(), cmd }
    }

    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.push(arg);
        self
    }

    pub(super) fn push(&mut self, arg: impl ToRedisArgs) {
        self.cmd.arg(arg);
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)*;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $file, ".lua"))),*)));)*
    };
}

scripts! {
    // Without what only counters need: every run of a script begins with its definitions.
    HOLD = "int64" "epoch" "hold";
    HOLD_WITH_COUNTERS = "int64" "epoch" "key_space" "hold";
    COMMIT = "int64" "epoch" "key_space" "commit";
    OUTCOME = "epoch" "outcome";
    EPOCH = "epoch" "epoch_number";
    ACCOUNT = "epoch" "account";
    ACCOUNTS = "epoch" "accounts";
    LEASE = "epoch" "lease";
    FILL = "int64" "epoch" "fill";
    RELEASE = "int64" "release";
    KEYS = "key_space" "keys";
    TOP = "top";
    RANK = "key_space" "rank";
    HEARTBEAT = "heartbeat";
    RELAY_LEASE = "int64" "relay_lease";
    RELAY_STEP = "int64" "epoch" "relay_step";
    PAGE = "epoch" "page";
    TRACE = "trace";
    RATE_LIMIT = "rate_limit";
}
