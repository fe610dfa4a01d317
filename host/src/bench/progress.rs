//! What a person sees while a run lasts: rate, tail latency and errors. On a terminal one line that changes, elsewhere a line
//! every [`PLAIN_INTERVAL`].
#![expect(clippy::float_arithmetic, reason = "a rate for the eye")]

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Args;
use super::load::{Load, Running};

const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Says that something goes on, and what.
pub(super) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let bar = bar("{spinner} {msg} ({elapsed})", None);
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    if bar.is_hidden() {
        eprintln!("{what} …");
    }
    let result = work.await;
    bar.finish_and_clear();
    result
}

/// Waits for the end of the load, or for Ctrl-C, and shows how it goes.
pub(super) async fn show(running: &mut Running, load: &Arc<Load>, args: &Args) {
    let bar = bar("{wide_bar} {pos}/{len} s  {msg}", Some(args.duration));
    let mut tick = interval(if bar.is_hidden() { PLAIN_INTERVAL } else { TERMINAL_INTERVAL });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let started = Instant::now();
    let (mut answers, mut at) = (0, started);
    loop {
        tokio::select! {
            () = running.join() => break,
            // The load ends on its own; what is under way is answered first.
            Ok(()) = tokio::signal::ctrl_c(), if !load.stop.is_cancelled() => load.stop.cancel(),
            _ = tick.tick() => {
                let tally = running.tally();
                let rate = Duration::from_secs(tally.answers - answers).as_secs_f64() / at.elapsed().as_secs_f64();
                (answers, at) = (tally.answers, Instant::now());
                let p99 = Duration::from_micros(tally.latency.value_at_quantile(0.99));
                let line = format!("{rate:.0}/s, p99 {p99:.1?}, {} errors", tally.error_count());
                if bar.is_hidden() {
                    eprintln!("{:.0?}: {line}", started.elapsed());
                }
                bar.set_position(started.elapsed().as_secs());
                bar.set_message(line);
            }
        }
    }
    bar.finish_and_clear();
}

fn bar(template: &str, len: Option<u64>) -> ProgressBar {
    let bar = match (std::io::stderr().is_terminal(), len) {
        (false, _) => ProgressBar::hidden(),
        (true, Some(len)) => ProgressBar::new(len),
        (true, None) => ProgressBar::new_spinner(),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
