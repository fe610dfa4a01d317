//! The architecture, as README.md tells it: which part may name which, what reads the time, how long a file may be, and that
//! every interface a plugin sees is documented, versioned and parses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_parser::Resolve;

/// Every part of `host/src`, and the parts it may name. What is not listed is forbidden.
const PARTS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("breaker", &[]),
    ("ports", &["domain"]),
    ("adapters", &["ports", "domain", "breaker"]),
    ("ledger", &["ports", "domain"]),
    ("timer", &["ports", "domain"]),
    ("relay", &["ports", "domain"]),
    ("plugin", &["ledger", "timer", "ports", "domain", "breaker"]),
    ("room", &["plugin", "ledger", "timer", "ports", "domain", "breaker"]),
    ("settle", &["room", "plugin", "ledger", "timer", "ports", "domain"]),
    ("push", &["room", "plugin", "ledger", "timer", "ports", "domain"]),
    ("http", &["push", "room", "plugin", "ledger", "timer", "ports", "domain", "breaker", "telemetry"]),
    // A client like any other: it knows the server by its interface alone.
    ("bench", &["domain"]),
    (
        "app",
        &[
            "adapters",
            "bench",
            "breaker",
            "http",
            "settle",
            "relay",
            "push",
            "room",
            "plugin",
            "ledger",
            "timer",
            "ports",
            "domain",
            "config",
            "telemetry",
        ],
    ),
    ("lib", &[]),
    ("cli", &["app", "bench", "config", "domain", "http", "telemetry"]),
    ("main", &["cli"]),
];

/// Crates that one part hides from the rest.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["adapters"]),
    ("libsqlite3_sys", &["adapters"]),
    ("wasmtime", &["plugin"]),
    // The hub keeps each message in the form that a socket sends, so that none is copied for each viewer.
    ("axum", &["http", "push", "bench"]),
    ("rdkafka", &["adapters"]),
    ("reqwest", &["cli"]),
];

/// What a pure value never needs.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "tokio",
    "tracing",
    "metrics",
    "rand::",
    "uuid",
    "jiff",
];

/// Of the parts that serve, only the adapters' clock may ask the machine for the time of day.
const CLOCK_READERS: &[&str] = &["adapters", "bench", "cli"];

/// Lines of a source file, at most.
const LINES_MAX: usize = 500;

struct Source {
    /// From the workspace's root.
    path: PathBuf,
    text: String,
}

impl Source {
    /// Its lines without comments and in-file tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..tests].lines().map(without_comment).enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The part of the host that it belongs to.
    fn part(&self) -> &str {
        let first = self.path.strip_prefix("host/src").unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs")
    }

    /// How many modules it is in: 1 for `host/src/room.rs`.
    fn depth(&self) -> usize {
        self.path.strip_prefix("host/src").unwrap().components().count()
    }

    /// What it calls the library: the program is another crate.
    fn library(&self) -> &'static str {
        if matches!(self.part(), "cli" | "main") { "greenroom::" } else { "crate::" }
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
    }
}

#[derive(Default)]
struct Faults(String);

impl Faults {
    fn add(&mut self, path: &Path, line: usize, rule: impl std::fmt::Display) {
        writeln!(self.0, "{}:{line}: {rule}", path.display()).unwrap();
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file below `folder` whose name ends so.
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root()).unwrap().to_path_buf(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no {ending} below {folder}");
    found
}

fn host() -> Vec<Source> {
    files("host/src", ".rs").into_iter().filter(|source| !source.is_test()).collect()
}

fn all_sources() -> Vec<Source> {
    let folders = [
        "host/src",
        "host/tests",
        "host/benches",
        "plugins/manifest/src",
        "plugins/sdk/macros/src",
        "plugins/sdk/src",
        "plugins/testkit/src",
        "plugins/gift/src",
        "examples/hello-plugin/src",
        "xtask/src",
    ];
    folders.iter().flat_map(|folder| files(folder, ".rs")).collect()
}

fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first names of what follows `crate::`: one, or those of a group such as `{ledger, room::Error}`.
fn first_names(text: &str) -> Vec<&str> {
    let Some(group) = text.strip_prefix('{') else { return vec![word(text)] };
    let mut depth = 0_usize;
    let mut names = vec![word(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    names
}

/// Every part of the host that a line names, from a module at this depth that calls the library so.
fn named<'a>(line: &'a str, library: &str, depth: usize) -> Vec<&'a str> {
    let from_root = format!("{}::", vec!["super"; depth].join("::"));
    let mut names = Vec::new();
    for way in [library, from_root.as_str()] {
        for (at, _) in line.match_indices(way) {
            let whole = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if whole {
                names.extend(first_names(&line[at + way.len()..]));
            }
        }
    }
    names.retain(|name| PARTS.iter().any(|(part, _)| part == name));
    names
}

#[test]
fn dependencies_run_one_way() {
    let mut faults = Faults::default();
    let mut seen = 0;
    for source in host() {
        let part = source.part();
        let Some((_, allowed)) = PARTS.iter().find(|(name, _)| *name == part) else {
            faults.add(&source.path, 1, format_args!("`{part}` has no place in the order of dependencies"));
            continue;
        };
        for (line, text) in source.code() {
            for name in named(text, source.library(), source.depth()).into_iter().filter(|name| *name != part) {
                seen += 1;
                if !allowed.contains(&name) {
                    let may = if allowed.is_empty() { "itself".into() } else { allowed.join(", ") };
                    faults.add(&source.path, line, format_args!("`{part}` may not name `{name}`, only: {may}"));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} dependencies were seen: the scan is blind");
    faults.none();
}

#[test]
fn a_name_is_found_however_it_is_imported() {
    assert_eq!(named("use crate::http::Problem;", "crate::", 1), ["http"]);
    assert_eq!(named("use crate::{ledger::{self, Hold}, room};", "crate::", 1), ["ledger", "room"]);
    assert_eq!(named("fn f(a: super::super::push::Hub) {}", "crate::", 2), ["push"]);
    assert_eq!(named("fn f(a: super::super::push::Hub) {}", "crate::", 3), Vec::<&str>::new());
    assert_eq!(without_comment("let a = \"http://a\"; // crate::http"), "let a = \"http://a\"; ");
}

#[test]
fn a_crate_that_one_part_hides_is_named_nowhere_else() {
    let mut faults = Faults::default();
    for source in host() {
        for (line, text) in source.code() {
            for (krate, owners) in OWNERS {
                if text.contains(&format!("{krate}::")) && !owners.contains(&source.part()) {
                    faults.add(&source.path, line, format_args!("`{krate}` belongs to {}", owners.join(" and ")));
                }
            }
        }
    }
    faults.none();
}

#[test]
fn the_domain_neither_reads_nor_writes_nor_asks_for_the_time() {
    let mut faults = Faults::default();
    for source in host().iter().filter(|source| source.part() == "domain") {
        for (line, text) in source.code() {
            for impure in IMPURE.iter().filter(|impure| text.contains(*impure)) {
                faults.add(&source.path, line, format_args!("`domain` holds pure values and may not use `{impure}`"));
            }
        }
    }
    faults.none();
}

#[test]
fn the_time_of_day_comes_from_the_clock_port() {
    let mut faults = Faults::default();
    for source in host().iter().filter(|source| !CLOCK_READERS.contains(&source.part())) {
        for (line, text) in source.code().filter(|(_, text)| text.contains("SystemTime::now")) {
            faults.add(&source.path, line, format_args!("`{}` asks the machine for the time", text.trim()));
        }
    }
    faults.none();
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let mut faults = Faults::default();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.add(&source.path, lines, format_args!("a file has at most {LINES_MAX} lines"));
        }
    }
    faults.none();
}

#[test]
fn nothing_is_left_to_be_written() {
    let mut faults = Faults::default();
    let placeholders = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    for source in all_sources() {
        for (line, text) in source.code() {
            for left in placeholders.iter().filter(|left| text.contains(left.as_str())) {
                faults.add(&source.path, line, format_args!("`{left})` is left"));
            }
        }
    }
    faults.none();
}

/// Whether a line of WIT begins something that a plugin's author must be told about.
fn needs_docs(line: &str) -> bool {
    let kinds = ["package", "interface", "world", "record", "variant", "enum", "flags", "resource", "type"];
    kinds.contains(&word(line)) && !line.contains("func(") || line.contains(": func(") || line.contains(": async func(")
}

#[test]
fn everything_in_the_wit_is_documented() {
    let mut faults = Faults::default();
    let mut seen = 0;
    for source in files("wit", ".wit") {
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| needs_docs(line)) {
            seen += 1;
            let before = lines[..at].iter().rev().find(|line| !line.starts_with('@'));
            if !before.is_some_and(|before| before.starts_with("///")) {
                faults.add(&source.path, at + 1, format_args!("`{line}` has no doc comment"));
            }
        }
    }
    assert!(seen > 80, "only {seen} items were seen: the scan is blind");
    faults.none();
}

#[test]
fn the_wit_parses_and_every_package_has_a_version() {
    let mut resolve = Resolve::default();
    resolve.push_dir(root().join("wit")).expect("the WIT is in order");
    let names: Vec<String> = resolve.packages.iter().map(|(_, package)| package.name.to_string()).collect();
    let unversioned: Vec<&String> =
        resolve.packages.iter().zip(&names).filter(|((_, p), _)| p.name.version.is_none()).map(|(_, n)| n).collect();
    assert!(unversioned.is_empty(), "packages without a version: {unversioned:?}");
    for capability in ["ledger", "cache", "db", "mq", "room", "timer", "plugin"] {
        let prefix = format!("greenroom:{capability}@");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "{prefix}… is missing among {names:?}");
    }
}

/// What a text points to in this tree: targets of links, and names of files and folders in backquotes or code maps.
fn pointers(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tops = ["host/", "plugins/", "wit/", "migrations/", "xtask/", "examples/"];
    text.lines().enumerate().flat_map(move |(index, line)| {
        let links = line.match_indices("](").map(|(at, open)| line[at + open.len()..].split(')').next().unwrap());
        let links = links.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let quoted = line.split('`').skip(1).step_by(2).chain(line.split("  ").next());
        let quoted = quoted.filter(move |name| tops.iter().any(|top| name.starts_with(top)) && !name.contains(' '));
        let targets = links.chain(quoted).map(|target| target.split('#').next().unwrap());
        targets.map(move |target| (index + 1, target)).collect::<Vec<_>>()
    })
}

#[test]
fn what_the_readme_points_to_exists() {
    let mut faults = Faults::default();
    for name in ["README.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        for (line, target) in pointers(&text) {
            let path = root().join(target);
            if !path.exists() && !path.with_extension("rs").exists() {
                faults.add(Path::new(name), line, format_args!("`{target}` does not exist"));
            }
        }
    }
    faults.none();
}
