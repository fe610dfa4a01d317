//! `wasi:logging`: to the host's log, with the plugin's name, version and room. What is cut or left out is said.

use crate::plugin::bindings::wasi::logging::logging::{Host, Level};
use crate::plugin::state::State;

/// One line, in bytes.
const LINE_BYTES_MAX: usize = 4 * 1024;
const CONTEXT_BYTES_MAX: usize = 128;
/// Lines of one call.
const LINES_MAX: u32 = 100;

impl Host for State {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        self.call.log_lines = self.call.log_lines.saturating_add(1);
        if self.call.log_lines > LINES_MAX {
            return Ok(());
        }
        write(self, level, cut(&context, CONTEXT_BYTES_MAX).as_ref(), cut(&message, LINE_BYTES_MAX).as_ref());
        Ok(())
    }
}

/// Says how many lines of a call were left out, if any.
pub(crate) fn finish(state: &State) {
    let left_out = state.call.log_lines.saturating_sub(LINES_MAX);
    if left_out > 0 {
        write(state, Level::Warn, "greenroom", &format!("{left_out} further lines of this call were left out"));
    }
}

fn write(state: &State, level: Level, context: &str, message: &str) {
    let plugin = state.profile.name.as_ref();
    let version = state.profile.version.as_str();
    let room = state.room_id().map(|room| room.0);
    match level {
        Level::Trace => tracing::trace!(target: "plugin", plugin, version, room, context, "{message}"),
        Level::Debug => tracing::debug!(target: "plugin", plugin, version, room, context, "{message}"),
        Level::Info => tracing::info!(target: "plugin", plugin, version, room, context, "{message}"),
        Level::Warn => tracing::warn!(target: "plugin", plugin, version, room, context, "{message}"),
        Level::Error | Level::Critical => {
            tracing::error!(target: "plugin", plugin, version, room, context, "{message}")
        }
    }
}

fn cut(text: &str, max: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let kept = text.get(..text.floor_char_boundary(max)).unwrap_or_default();
    format!("{kept} [{} more bytes cut]", text.len() - kept.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short", 8), "short");
        assert_eq!(cut("aäöü", 4), "aä [4 more bytes cut]");
    }
}
