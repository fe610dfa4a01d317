//! What ran where: a row for each suite, a column for each backend, in each cell how many tests passed, failed and were skipped.
//!
//! All of it comes from the names that cargo prints. A test binary `<suite>_<backend>` runs its suite over that backend; among the
//! contracts each module is a suite of its own, named after its port, and a module `…_in_<backend>` says its backend itself. A binary
//! that names none is in the last column. What a binary counted and did not name is added to its row, so that the sums are always the whole.

use std::collections::BTreeMap;
use std::fmt;

use super::Tally;

/// The backends that names may end in, in the order of their columns.
const BACKENDS: [&str; 7] = ["embedded", "sqlite", "redis", "redis_cluster", "kafka", "postgres", "distributed"];
/// The last column.
const NONE: &str = "unnamed";
const CONTRACTS: &str = "contracts";

/// Where a count belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    suite: String,
    /// An index into [`BACKENDS`], or its length for none.
    backend: usize,
}

/// The counts so far.
#[derive(Debug, Default)]
pub(super) struct Table {
    cells: BTreeMap<Cell, Tally>,
    /// What the running binary has named.
    named: Tally,
}

impl Table {
    /// Takes a line such as `test cache::a_hold_reserves ... ok`; others are none of its business.
    pub(super) fn read(&mut self, binary: &str, line: &str) {
        let Some((test, outcome)) = outcome(line) else { return };
        self.named.add(outcome);
        self.cells.entry(cell(binary, Some(test))).or_default().add(outcome);
    }

    /// A binary has ended and says that it ran so many.
    pub(super) fn end(&mut self, binary: &str, tally: Tally) {
        let named = std::mem::take(&mut self.named);
        let unnamed = Tally {
            passed: tally.passed.saturating_sub(named.passed),
            failed: tally.failed.saturating_sub(named.failed),
            skipped: tally.skipped.saturating_sub(named.skipped),
        };
        if unnamed != Tally::default() {
            self.cells.entry(cell(binary, None)).or_default().add(unnamed);
        }
    }
}

/// The test that a line tells of, and what became of it.
pub(super) fn outcome(line: &str) -> Option<(&str, Tally)> {
    let (test, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let one = match outcome.split([',', ' ']).next()? {
        "ok" => Tally { passed: 1, ..Tally::default() },
        "FAILED" => Tally { failed: 1, ..Tally::default() },
        "ignored" => Tally { skipped: 1, ..Tally::default() },
        _ => return None,
    };
    Some((test, one))
}

fn cell(binary: &str, test: Option<&str>) -> Cell {
    let (suite, backend) = split(binary, "_");
    let module = test.and_then(|test| test.split_once("::")).map(|(module, _)| module);
    let Some(module) = module.filter(|_| suite == CONTRACTS) else {
        return Cell { suite: suite.to_owned(), backend };
    };
    let (port, own) = split(module, "_in_");
    let backend = if own < BACKENDS.len() { own } else { backend };
    let named = BACKENDS.get(backend).and_then(|name| port.strip_prefix(name)?.strip_prefix('_'));
    let port = named.or_else(|| port.strip_prefix("of_the_")).unwrap_or(port);
    Cell { suite: format!("{CONTRACTS}: {}", port.replace('_', " ")), backend }
}

/// What stands before the backend that a name ends in, and the backend.
fn split<'a>(name: &'a str, separator: &str) -> (&'a str, usize) {
    let found = BACKENDS.iter().enumerate().find_map(|(index, backend)| {
        let suite = name.strip_suffix(backend)?.strip_suffix(separator)?;
        Some((suite, index))
    });
    found.unwrap_or((name, BACKENDS.len()))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = |backend: &usize| self.cells.keys().any(|cell| cell.backend == *backend);
        let backends: Vec<usize> = (0..=BACKENDS.len()).filter(used).collect();
        let head = backends.iter().map(|backend| BACKENDS.get(*backend).unwrap_or(&NONE).replace('_', " "));
        let mut rows = vec![std::iter::once(String::new()).chain(head).collect::<Vec<String>>()];
        let mut suites: Vec<&String> = self.cells.keys().map(|cell| &cell.suite).collect();
        suites.dedup();
        for suite in suites {
            let counts = backends.iter().map(|backend| {
                let cell = Cell { suite: suite.clone(), backend: *backend };
                self.cells.get(&cell).map_or_else(String::new, Tally::to_string)
            });
            rows.push(std::iter::once(suite.clone()).chain(counts).collect());
        }
        let columns = backends.len() + 1;
        let widths: Vec<usize> = (0..columns)
            .map(|n| rows.iter().filter_map(|row| row.get(n)).map(String::len).max().unwrap_or(0))
            .collect();
        for row in rows {
            let mut line = String::new();
            for (number, (text, width)) in row.iter().zip(&widths).enumerate() {
                line += &if number == 0 { format!("{text:<width$}") } else { format!("  {text:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    /// `12`, or `12/1 failed/2 skipped`: what is nought is left out, except when all is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.failed, " failed"), (self.skipped, " skipped")];
        let told = all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("/{count}{what}"));
        write!(f, "{}{}", self.passed, told.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(binary: &str, test: &str) -> (String, &'static str) {
        let cell = cell(binary, Some(test));
        (cell.suite, BACKENDS.get(cell.backend).copied().unwrap_or(NONE))
    }

    #[test]
    fn names_tell_the_suite_and_the_backend() {
        for (binary, test, suite, backend) in [
            ("contracts_redis", "of_the_cache_in_redis_cluster::a", "contracts: cache", "redis_cluster"),
            ("contracts_redis", "of_the_cache_in_redis::a", "contracts: cache", "redis"),
            ("contracts_redis", "redis_faults::a", "contracts: faults", "redis"),
            ("contracts_embedded", "of_the_cache::a", "contracts: cache", "embedded"),
            ("contracts_sqlite", "ledger::a", "contracts: ledger", "sqlite"),
            ("contracts_sqlite", "a", "contracts", "sqlite"),
            ("e2e_distributed", "e2e::show::a", "e2e", "distributed"),
            ("model", "explore::a", "model", NONE),
            ("greenroom_sdk", "id::tests::a", "greenroom_sdk", NONE),
        ] {
            assert_eq!(place(binary, test), (suite.to_owned(), backend), "{binary} {test}");
        }
    }

    #[test]
    fn every_test_that_a_binary_counts_is_in_its_row_also_if_its_line_was_lost() {
        let mut table = Table::default();
        table.read("e2e_embedded", "test e2e::a ... ok");
        table.read("e2e_embedded", "a line of a server, and then test e2e::b ... ok");
        table.read("e2e_embedded", "test e2e::c ... ignored, too slow");
        table.end("e2e_embedded", Tally { passed: 2, failed: 1, skipped: 1 });
        table.read("e2e_distributed", "test e2e::a ... FAILED");
        table.end("e2e_distributed", Tally { failed: 1, ..Tally::default() });
        table.read("model", "test a ... ok");
        table.end("model", Tally { passed: 1, ..Tally::default() });
        let lines: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "                   embedded  distributed  unnamed",
                "e2e    2/1 failed/1 skipped   0/1 failed",
                "model                                           1",
            ]
        );
    }
}
