//! What is waited for where replicas must have a step: their disks and the master's (`WAITAOF`) where the servers can tell of them, else
//! the replicas' memory (`WAIT`).

use std::time::Duration;

use redis::Value;

use super::super::reply::text;
use super::super::server::Server;

/// The first version of Redis that has `WAITAOF`. Valkey says that it is a Redis 7.2.
const WAITAOF_SINCE: (u32, u32) = (7, 2);
/// What waiting for disks may take longer: with `appendfsync everysec` a server writes once a second, and a wait may begin while the one
/// before it goes on.
const DISK_WAIT: Duration = Duration::from_secs(2);

/// Who is waited for, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replicas {
    count: u32,
    timeout: Duration,
    on_disk: bool,
}

impl Replicas {
    /// As good as all masters can do it now; which that is stands in the log. A master that cannot do it later refuses.
    pub(super) async fn open(server: &Server, count: u32, timeout: Duration) -> Result<Self, String> {
        let masters = server.ask_masters(redis::cmd("INFO").arg(&["server", "persistence"])).await?;
        for info in masters {
            if let Err(reason) = can_tell_of_disks(&text(info)?) {
                tracing::info!(
                    replicas = count,
                    reason,
                    "durability replicated: answers wait for the replicas' memory (WAIT)"
                );
                return Ok(Self { count, timeout, on_disk: false });
            }
        }
        tracing::info!(
            replicas = count,
            "durability replicated: answers wait for the disks of master and replicas (WAITAOF); with appendfsync everysec each takes a \
             second or two, with always some milliseconds"
        );
        Ok(Self { count, timeout: timeout + DISK_WAIT, on_disk: true })
    }

    /// The longest time that the server waits.
    pub(super) fn timeout(self) -> Duration {
        self.timeout
    }

    /// The command that waits for everything before it on the same connection.
    pub(super) fn push_to(self, pipeline: &mut redis::Pipeline) {
        let ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        if self.on_disk {
            pipeline.cmd("WAITAOF").arg(1).arg(self.count).arg(ms);
        } else {
            pipeline.cmd("WAIT").arg(self.count).arg(ms);
        }
    }

    /// Whether the server says that enough of them have it.
    pub(super) fn check(self, answer: Option<Value>) -> Result<(), String> {
        let (master, replicas) = match answer {
            Some(Value::Int(replicas)) if !self.on_disk => (1, replicas),
            Some(Value::Array(told)) if self.on_disk => match told.as_slice() {
                [Value::Int(master), Value::Int(replicas)] => (*master, *replicas),
                _ => return Err("strange answer to WAITAOF".into()),
            },
            Some(Value::ServerError(error)) => return Err(format!("replicas cannot be waited for: {error}")),
            _ => return Err("strange answer to WAIT or WAITAOF".into()),
        };
        if master >= 1 && replicas >= i64::from(self.count) {
            return Ok(());
        }
        let (count, timeout) = (self.count, self.timeout);
        if !self.on_disk {
            return Err(format!("{replicas} of {count} replicas have it after {timeout:?}"));
        }
        let master = if master >= 1 { "the master has it" } else { "the master does not have it" };
        Err(format!(
            "{master} and {replicas} of {count} replicas have it on disk after {timeout:?}; they need appendonly yes"
        ))
    }
}

/// What INFO says of a master; else why not.
fn can_tell_of_disks(info: &str) -> Result<(), String> {
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end);
    let version = of("redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    if numbers.next().zip(numbers.next()).is_none_or(|version| version < WAITAOF_SINCE) {
        return Err(format!("redis {version} has no WAITAOF, which came with 7.2"));
    }
    match of("aof_enabled") {
        Some("1") => Ok(()),
        _ => Err("appendonly is no".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(on_disk: bool) -> Replicas {
        Replicas { count: 2, timeout: Duration::from_secs(1), on_disk }
    }

    #[test]
    fn disks_are_told_of_since_7_2_and_with_an_append_only_file() {
        let info = |version: &str, aof: &str| {
            format!("# Server\r\nredis_version:{version}\r\n# Persistence\r\naof_enabled:{aof}\r\n")
        };
        for version in ["7.2.4", "7.10.0", "8.0.2"] {
            assert_eq!(can_tell_of_disks(&info(version, "1")), Ok(()), "{version}");
            assert!(can_tell_of_disks(&info(version, "0")).is_err(), "{version}");
        }
        for version in ["7.0.15", "6.2.14", "", "x"] {
            assert!(can_tell_of_disks(&info(version, "1")).is_err(), "{version}");
        }
        assert!(can_tell_of_disks("").is_err());
    }

    #[test]
    fn too_few_or_no_answer_is_no_success() {
        let two = |master, replicas| Some(Value::Array(vec![Value::Int(master), Value::Int(replicas)]));
        assert_eq!(replicas(true).check(two(1, 2)), Ok(()));
        assert_eq!(replicas(false).check(Some(Value::Int(3))), Ok(()));
        for (on_disk, answer) in [
            (true, two(0, 2)),
            (true, two(1, 1)),
            (true, Some(Value::Int(2))),
            (true, Some(Value::Array(Vec::new()))),
            (true, None),
            (false, Some(Value::Int(1))),
            (false, two(1, 2)),
            (false, Some(Value::Nil)),
        ] {
            assert!(replicas(on_disk).check(answer.clone()).is_err(), "{answer:?}");
        }
    }
}
