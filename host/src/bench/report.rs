//! The figures of a run, as a table and as JSON.
#![expect(clippy::float_arithmetic, reason = "rates and milliseconds; no money")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::audit::Audit;
use super::tally::Tally;

/// A run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What was loaded: a server's address, or bare axum.
    pub(super) target: String,
    /// `open, N/s` or `closed`.
    pub(super) pace: String,
    pub(super) connections: u32,
    pub(super) seconds: f64,
    /// Answers of any kind.
    pub(super) answers: u64,
    pub(super) answers_per_s: f64,
    /// Distinct gifts acknowledged.
    pub(super) acknowledged: u64,
    pub(super) acknowledged_per_s: f64,
    /// Distinct gifts by the time from the first request until all were settled; none without an audit.
    pub(super) settled_per_s: Option<f64>,
    /// Acknowledgements of gifts that had been acknowledged before.
    pub(super) replays: u64,
    /// From when a request was due to its answer.
    pub(super) latency_us: Quantiles,
    /// From when a request was due to when it was sent.
    pub(super) late_us: Quantiles,
    /// By error code, or by what happened to the connection.
    pub(super) errors: BTreeMap<String, u64>,
    /// None for bare axum, which keeps no books.
    pub(super) audit: Option<Audit>,
}

/// In microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) mean: f64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        Self { mean: histogram.mean(), p50, p90, p99, p999, max: histogram.max() }
    }
}

/// What a run was, before it is measured.
pub(super) struct Heading {
    pub(super) target: String,
    pub(super) pace: String,
    pub(super) connections: u32,
}

impl Report {
    pub(super) fn new(heading: Heading, tally: Tally, acknowledged: u64, took: Duration, audit: Option<Audit>) -> Self {
        let seconds = took.as_secs_f64();
        let settled_per_s = audit.as_ref().map(|audit| {
            let settling = Duration::from_millis(audit.settle_ms).as_secs_f64();
            rate(audit.acknowledged, seconds + settling)
        });
        Self {
            target: heading.target,
            pace: heading.pace,
            connections: heading.connections,
            seconds,
            answers: tally.answers,
            answers_per_s: rate(tally.answers, seconds),
            acknowledged,
            acknowledged_per_s: rate(acknowledged, seconds),
            settled_per_s,
            replays: tally.replays,
            latency_us: Quantiles::of(&tally.latency),
            late_us: Quantiles::of(&tally.late),
            errors: tally.errors,
            audit,
        }
    }
}

/// A count a second; counts of one run are far below 2^53, where `f64` stops being exact.
fn rate(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = count as f64;
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} connections, loop: {}, {:.1} s", self.target, self.connections, self.pace, self.seconds)?;
        writeln!(f, "  answers        {:>10}   {:>9.0} /s", self.answers, self.answers_per_s)?;
        writeln!(f, "  gifts          {:>10}   {:>9.0} /s", self.acknowledged, self.acknowledged_per_s)?;
        if let Some(settled) = self.settled_per_s {
            writeln!(f, "  settled                     {settled:>9.0} /s")?;
        }
        writeln!(f, "  replayed       {:>10}", self.replays)?;
        writeln!(f, "  milliseconds         mean      p50      p90      p99    p99.9      max")?;
        row(f, "latency", &self.latency_us)?;
        row(f, "sent late", &self.late_us)?;
        for (code, count) in &self.errors {
            writeln!(f, "  error {code}: {count}")?;
        }
        match &self.audit {
            Some(audit) => write_audit(f, audit),
            None => Ok(()),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, q: &Quantiles) -> fmt::Result {
    write!(f, "  {name:<14} {:>8.2}", q.mean / 1000.0)?;
    for us in [q.p50, q.p90, q.p99, q.p999, q.max] {
        write!(f, " {:>8.2}", Duration::from_micros(us).as_secs_f64() * 1000.0)?;
    }
    writeln!(f)
}

fn write_audit(f: &mut fmt::Formatter<'_>, audit: &Audit) -> fmt::Result {
    let verdict = if audit.is_clean() { "every acknowledged gift paid exactly once" } else { "FAULTS" };
    writeln!(f, "  audit          {verdict}; {} viewers, settled after {} ms", audit.viewers, audit.settle_ms)?;
    if !audit.is_clean() {
        let Audit { acknowledged_twice, unclear, unsettled, wrong_balances, .. } = audit;
        writeln!(
            f,
            "  {acknowledged_twice} acknowledged twice, {unclear} unclear, {unsettled} viewers unsettled, {wrong_balances} with a wrong balance"
        )?;
    }
    match audit.differences {
        Some(differences) => writeln!(f, "  the server's own reconciliation finds {differences} differences")?,
        None => writeln!(f, "  the server offers no reconciliation")?,
    }
    audit.faults.iter().try_for_each(|fault| writeln!(f, "    {fault}"))
}
