//! Faults of PostgreSQL. While it is away gifts of cached accounts are taken, events wait, and none of them becomes a dead letter for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::header::RETRY_AFTER;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::probe::{self, Asker};
use crate::services::folder;
use crate::world::{Setup, World};

const CUTS: usize = 40;
const CUT_EVERY: Duration = Duration::from_millis(250);
const DISK_BYTES: &str = "16m";
/// Partitions of each table that grows.
const TABLE_PARTS: usize = 16;
const FULL_WAIT: Duration = Duration::from_secs(60);
/// More than the six minutes by which clocks may differ.
const CLOCKS_APART_S: u64 = 400;
/// Long enough for time-outs, and for a consumer that does not poll.
const AWAY: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_restarted_loses_nothing() {
    let mut world = World::open(Setup::new("postgres_restarted")).await;
    world.load.answered(150).await;
    world.services.postgres().stop().unwrap();
    world.services.postgres().restart().unwrap();
    world.load.answered(150).await;
    world.services.postgres().kill().unwrap();
    world.services.postgres().restart().unwrap();
    world.load.answered(150).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn gifts_go_on_without_postgres_and_what_needs_it_is_refused_at_once() {
    let mut world = World::open(Setup::new("postgres_away")).await;
    age(&mut world);
    world.load.answered(150).await;
    world.services.postgres().stop().unwrap();
    let away = Instant::now();
    let host = &world.hosts[0];
    assert!(probe::circuit(host, "postgres", "open").await, "the circuit of PostgreSQL never opened");
    world.load.answered(100).await;
    let operator = Asker::with(1, Role::Operator);
    let mut fast = 0;
    for _ in 0..20 {
        let answer = operator.get(host, "/v1/rooms").await;
        assert_eq!((answer.status, &answer.body["errCode"]), (503, &30_002.into()), "{}", answer.body);
        assert!(answer.headers.contains_key(RETRY_AFTER));
        fast += usize::from(answer.took < Duration::from_millis(300));
    }
    // A probe that is let through now and then may wait.
    assert!(fast >= 15, "only {fast} of 20 were refused at once");
    assert!(probe::metric(host, "greenroom_backend_rejected_total", "postgres").await > 0.0);
    assert_eq!(probe::readiness(host).await.1["status"], "degraded");
    tokio::time::sleep(AWAY.saturating_sub(away.elapsed())).await;
    world.services.postgres().restart().unwrap();
    assert!(probe::circuit(&world.hosts[0], "postgres", "closed").await, "the circuit of PostgreSQL never closed");
    world.load.answered(100).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    let world = World::open(Setup::new("postgres_cut").host_environment(impatient())).await;
    world.load.answered(100).await;
    let mut admin = PgConnection::connect(&world.site.postgres_url).await.unwrap();
    let mut cut = 0;
    for _ in 0..CUTS {
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'greenroom'",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        cut += ended;
        tokio::time::sleep(CUT_EVERY).await;
    }
    assert!(cut > CUTS as i64, "only {cut} connections were cut");
    world.load.answered(100).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// The tables of events and entries are on a disk of their own, a small one in memory, which somebody else fills.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_loses_nothing_and_nothing_becomes_a_dead_letter() {
    let disk = Disk::mount();
    let mut world = World::open(Setup::new("disk_full").host_environment(impatient())).await;
    let mut admin = PgConnection::connect(&world.site.postgres_url).await.unwrap();
    let tablespace = format!("{}_small", world.site.name);
    let make = format!("CREATE TABLESPACE {tablespace} LOCATION '{}'", disk.data().display());
    admin.execute(AssertSqlSafe(make)).await.unwrap();
    move_tables(&mut admin, &tablespace).await;
    world.load.answered(100).await;
    disk.fill();
    wait_until_full(&world.services.postgres().folder().join("server.log")).await;
    world.load.answered(100).await;
    disk.make_room();
    world.load.answered(100).await;
    // The next scenario has no such disk.
    move_tables(&mut admin, "pg_default").await;
    admin.execute(AssertSqlSafe(format!("DROP TABLESPACE {tablespace}"))).await.unwrap();
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// An event whose second try fails is a dead letter: so it is seen whether an outage counts as a try.
fn impatient() -> Vec<Vec<(String, String)>> {
    vec![vec![("GREENROOM_SETTLE_RETRY_WAITS_MS".to_owned(), "[1]".to_owned())]; 3]
}

/// Makes the caches seem to have lost nothing for longer than clocks may be apart. Before that the database is asked for each event,
/// because one that the cache has lost may bear a time that is ahead.
fn age(world: &mut World) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*epoch')) do \
        local number, rest = redis.call('GET', key):match('^(%d+)(.*)$') \
        redis.call('SET', key, string.format('%.0f', number - ARGV[1] * 1000000) .. rest) end return 'OK'";
    world.services.redis().redis(0, &["EVAL", script, "0", &CLOCKS_APART_S.to_string()]).unwrap();
}

/// The partitions of the tables that grow.
async fn move_tables(admin: &mut PgConnection, tablespace: &str) {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT child.relname::text FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid \
         JOIN pg_class AS parent ON parent.oid = inhparent \
         WHERE parent.relname IN ('event', 'entries') AND child.relkind = 'r' \
         UNION SELECT relname::text FROM pg_class WHERE relname IN ('event', 'entries') AND relkind = 'r'",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(tables.len(), 2 * TABLE_PARTS, "{tables:?}");
    for table in tables {
        let statement = format!("ALTER TABLE greenroom.{table} SET TABLESPACE {tablespace}");
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}

/// Tables have some room left in their files: events go on being settled until that is used up.
async fn wait_until_full(log: &Path) {
    let begun = Instant::now();
    while !std::fs::read_to_string(log).unwrap().contains("No space left on device") {
        assert!(begun.elapsed() < FULL_WAIT, "PostgreSQL never finds the disk full");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A small file system in memory. Needs the rights of root, as PostgreSQL's packages do.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn mount() -> Self {
        let place = folder().join("disk");
        std::fs::create_dir_all(&place).unwrap();
        let place = place.canonicalize().unwrap();
        // What a run that was killed has left.
        let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(&place).output();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES},mode=0777"), "tmpfs"])
            .arg(&place));
        let disk = Self { place };
        std::fs::create_dir(disk.data()).unwrap();
        run(Command::new("chown").arg("postgres").arg(disk.data()));
        disk
    }

    /// What the tablespace may use.
    fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    /// Takes all the room that is left, to the last block.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.place.join("other")).unwrap();
        let block = [0_u8; 4096];
        while file.write_all(&block).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.place.join("other")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
