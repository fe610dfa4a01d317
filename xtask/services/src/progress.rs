//! Saying what is done: a spinner on a terminal, plain lines elsewhere; and running the programs that do it.

use std::io::{IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All spinners of this program, one below the other: things may take a while at the same time.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// One thing that takes a while. Ends when it is dropped.
pub struct Step {
    bar: ProgressBar,
    what: String,
    started: Instant,
}

impl Step {
    /// Begins with `what`, such as "installing rustc-web".
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = if std::io::stderr().is_terminal() {
            SPINNERS.add(ProgressBar::new_spinner())
        } else {
            eprintln!("{what} …");
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(what.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, what, started: Instant::now() }
    }

    /// Says what part of it is being done.
    pub fn note(&self, part: &str) {
        self.bar.set_message(format!("{}: {part}", self.what));
        if self.bar.is_hidden() {
            eprintln!("{}: {part} …", self.what);
        }
    }

    /// Ends with a line that stays.
    pub fn done(self, result: &str) {
        self.bar.finish_and_clear();
        SPINNERS.suspend(|| eprintln!("{}: {result} ({:.1?})", self.what, self.started.elapsed()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs a program whose output the user sees.
///
/// # Errors
/// If it cannot start, or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a program silently, for at most `timeout`, and gives what it wrote to standard output.
///
/// # Errors
/// If it cannot start, fails, or takes too long; with the end of what it said.
pub fn run_quietly(command: &mut Command, timeout: Duration) -> anyhow::Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let status = wait(&mut child, timeout)?;
    let said = |reader: Option<std::thread::JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(said(stdout)),
        Some(status) => bail!("{} failed ({status}): {}", shown(command), last_lines(&said(stderr))),
        None => bail!("{} gave no answer within {timeout:?}", shown(command)),
    }
}

fn wait(child: &mut std::process::Child, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads a pipe on a thread of its own, so that a full pipe never blocks the program.
fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has said all that it will.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(6);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join(" | ")
}

/// The program and its arguments, as one would type them.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_reported() {
        let error = run_quietly(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer within 50ms"), "{error}");
    }

    #[test]
    fn a_program_that_fails_is_reported_with_its_last_words() {
        let error = run_quietly(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), Duration::from_secs(10));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("why"), "{text}");
    }
}
