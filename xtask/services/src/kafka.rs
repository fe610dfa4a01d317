//! Kafka in KRaft mode: one process that is broker and controller, fetched with Maven.
//!
//! It has two log directories, so that a partition can be moved although there is one broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::engine::Engine;
use crate::install::Missing;
use crate::place::{Place, Server, lock, write};
use crate::progress::{Step, run_quietly};

/// The newest release that its maker publishes for Java 17.
const VERSION: &str = "4.1.1";
const SLF4J_VERSION: &str = "1.7.36";
const FETCH_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const JAVA_MIN: u32 = 17;
const FETCH_TIMEOUT: Duration = Duration::from_secs(540);
const FORMAT_TIMEOUT: Duration = Duration::from_secs(60);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Enough for a few hundred partitions.
const HEAP: [&str; 3] = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC"];
/// An answer of one broker with a thousand partitions is far below.
const ANSWER_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The broker.
#[derive(Debug)]
pub(crate) struct Kafka {
    /// Where the programs are that were fetched, for all brokers.
    pub(crate) libraries: PathBuf,
}

impl Engine for Kafka {
    fn missing(&self, _place: &Place) -> Vec<Missing> {
        let mut missing = Vec::new();
        if java_major().is_none_or(|major| major < JAVA_MIN) {
            missing.push(Missing { program: "java, 17 or newer", package: "default-jre-headless" });
        }
        let maven = || run_quietly(Command::new("mvn").arg("--version"), FORMAT_TIMEOUT).is_ok();
        if !is_fetched(&self.libraries) && !maven() {
            missing.push(Missing { program: "mvn, which fetches Kafka", package: "maven" });
        }
        missing
    }

    fn prepare(&self, place: &Place, step: &Step) -> anyhow::Result<()> {
        if !is_fetched(&self.libraries) {
            step.note(&format!("fetching Kafka {VERSION} with Maven"));
            fetch(&self.libraries)?;
        }
        let server = place.only()?;
        let data = place.data(server);
        if data.join("a/meta.properties").is_file() && data.join("b/meta.properties").is_file() {
            return Ok(());
        }
        step.note("formatting its storage");
        let file = configure(place, server)?;
        let mut format = java(place, &self.libraries, &["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"])?;
        format.args(["format", "--ignore-formatted", "--cluster-id", &cluster_id()?, "--config"]).arg(file);
        run_quietly(&mut format, FORMAT_TIMEOUT).map(|_| ())
    }

    fn command(&self, place: &Place, server: &Server) -> anyhow::Result<Command> {
        let file = configure(place, server)?;
        let mut command = java(place, &self.libraries, &HEAP)?;
        command.args(["-XX:+ExitOnOutOfMemoryError", "kafka.Kafka"]).arg(file);
        Ok(command)
    }

    fn ask(&self, _place: &Place, server: &Server) -> anyhow::Result<()> {
        match brokers(server)? {
            0 => bail!("it answers, but is no broker yet"),
            _ => Ok(()),
        }
    }

    fn url(&self, place: &Place) -> anyhow::Result<String> {
        Ok(place.only()?.address())
    }
}

fn is_fetched(libraries: &Path) -> bool {
    std::fs::read_to_string(libraries.join("version")).is_ok_and(|version| version == VERSION)
}

/// Into a folder that gets its name when it is whole. One at a time: brokers of several tests may need it at once.
fn fetch(libraries: &Path) -> anyhow::Result<()> {
    let folder = libraries.parent().context("Kafka's folder has no parent")?;
    let _lock = lock(folder)?;
    if is_fetched(libraries) {
        return Ok(());
    }
    let new = folder.join("libs.new");
    for folder in [&*new, libraries] {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    let project = folder.join("pom.xml");
    write(&project, &pom())?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", FETCH_PLUGIN, "-DincludeScope=runtime", "--file"]).arg(&project);
    maven.arg(format!("-DoutputDirectory={}", new.display()));
    // Maven says on its standard output why it fails.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 1>&2", "sh"]).arg(maven.get_program()).args(maven.get_args());
    run_quietly(&mut shell, FETCH_TIMEOUT)?;
    write(&new.join("version"), VERSION)?;
    std::fs::rename(&new, libraries).context("cannot put Kafka into place")
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
        )
    };
    let dependencies = [
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.kafka", "kafka-tools", VERSION),
        dependency("org.slf4j", "slf4j-simple", SLF4J_VERSION),
    ];
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>greenroom</groupId>\n  <artifactId>kafka</artifactId>\n  <version>{VERSION}</version>\n  \
         <packaging>pom</packaging>\n  <dependencies>\n{}  </dependencies>\n</project>\n",
        dependencies.concat()
    )
}

fn java(place: &Place, libraries: &Path, args: &[&str]) -> anyhow::Result<Command> {
    let classes = libraries.join("*");
    let mut command = Command::new(java_program());
    command.arg("-cp").arg(classes).arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
    command.arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ");
    command.args(args).current_dir(&place.folder);
    Ok(command)
}

fn java_program() -> PathBuf {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| java.is_file()).unwrap_or_else(|| "java".into())
}

fn java_major() -> Option<u32> {
    // Unlike `-version`, this writes to standard output.
    let says = run_quietly(Command::new(java_program()).arg("--version"), FORMAT_TIMEOUT).ok()?;
    major(&says)
}

/// `openjdk 17.0.15 2025-04-15` → 17.
fn major(version: &str) -> Option<u32> {
    let digits = version.split_whitespace().nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn configure(place: &Place, server: &Server) -> anyhow::Result<PathBuf> {
    let file = place.folder.join("server.properties");
    write(&file, &configuration(server, &place.data(server))?)?;
    Ok(file)
}

/// A broker that was killed is let in again when its old session has ended, so that the session is kept short.
fn configuration(server: &Server, data: &Path) -> anyhow::Result<String> {
    let data = data.to_str().context("Kafka needs a path in UTF-8")?.replace('\\', r"\\");
    if data.contains(',') {
        bail!("Kafka takes no comma in the path of its data: {data}");
    }
    let Server { port, peer_port, .. } = server;
    Ok(format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{peer_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{peer_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}/a,{data}/b
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
num.io.threads=4
num.network.threads=2
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
"
    ))
}

/// 16 random bytes in base64, as Kafka writes them: 21 digits of a hexadecimal number are such digits too, and the last one
/// has but two bits.
fn cluster_id() -> anyhow::Result<String> {
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("this needs Linux's /proc")?;
    let digits: String = random.chars().filter(char::is_ascii_hexdigit).take(21).collect();
    Ok(digits + "A")
}

/// Asks for the metadata of all topics, and gives the number of brokers in the answer.
fn brokers(server: &Server) -> anyhow::Result<u32> {
    let mut stream = TcpStream::connect_timeout(&server.address().parse()?, ASK_TIMEOUT)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    stream.set_write_timeout(Some(ASK_TIMEOUT))?;
    stream.write_all(&METADATA)?;
    let len = read_u32(&mut stream)?;
    if !(8..ANSWER_BYTES_MAX).contains(&len) {
        bail!("it answers with {len} bytes, which is not Kafka");
    }
    let _correlation = read_u32(&mut stream)?;
    read_u32(&mut stream)
}

fn read_u32(stream: &mut impl Read) -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// The oldest request of its kind, which every release still answers: length; Metadata in version 0; correlation 1; no client's
/// name; no topic, which means all.
const METADATA: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_java_prints() {
        assert_eq!(major("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime Environment"), Some(17));
        assert_eq!(major("java 21 2023-09-19 LTS"), Some(21));
        assert_eq!(major("not found"), None);
    }

    #[test]
    fn the_broker_listens_on_loopback_alone_and_takes_no_path_that_it_would_split() {
        let server = Server { name: String::new(), port: 20_004, peer_port: 20_005, process: None };
        let text = configuration(&server, Path::new("/a b/data")).unwrap();
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:20004,CONTROLLER://127.0.0.1:20005\n"), "{text}");
        assert!(text.contains("log.dirs=/a b/data/a,/a b/data/b\n"), "{text}");
        assert!(configuration(&server, Path::new("/a,b/data")).is_err());
    }

    #[test]
    fn a_cluster_id_has_the_22_digits_that_kafka_wants() {
        let id = cluster_id().unwrap();
        assert!(id.len() == 22 && id.ends_with('A') && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_ne!(id, cluster_id().unwrap());
    }

    #[test]
    fn a_request_says_how_long_it_is() {
        let (len, body) = METADATA.split_at(4);
        assert_eq!(u32::from_be_bytes(len.try_into().unwrap()) as usize, body.len());
    }
}
