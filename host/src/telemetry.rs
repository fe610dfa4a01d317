//! Logs and metrics: set up once, by `main`. Neither opens a port; `http` shows the metrics.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets for times, in seconds: from a warm plugin call to a deadline.
const SECONDS: &[f64] = &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The logs or the metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("log filter `{filter}`: {fault}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Something else logs or records in this process.
    #[error("{0}")]
    Taken(String),
}

/// Writes logs to standard error from now on, as the filter says, such as `info,greenroom=debug`.
///
/// # Errors
/// If the filter cannot be read or logs are set up already.
pub fn log(format: LogFormat, filter: &str) -> Result<(), Error> {
    let fault = |error: tracing_subscriber::filter::ParseError| Error::Filter {
        filter: filter.to_owned(),
        fault: error.to_string(),
    };
    let filter = EnvFilter::try_new(filter).map_err(fault)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|error| Error::Taken(error.to_string()))
}

/// The metrics of this process. Cheap to copy.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Records from now on; a second call gives the same.
    ///
    /// # Errors
    /// If another recorder is installed.
    pub fn install() -> Result<Self, Error> {
        static INSTALLED: OnceLock<Result<Metrics, String>> = OnceLock::new();
        let install = || {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(PrometheusBuilder::install_recorder)
                .map(Metrics)
                .map_err(|error| error.to_string())
        };
        INSTALLED.get_or_init(install).clone().map_err(Error::Taken)
    }

    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was recorded into its buckets; call it every few seconds, or memory grows until the next [`Metrics::render`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}
