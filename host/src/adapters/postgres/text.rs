//! Text as PostgreSQL takes it: it has no zero characters, and one in an event's text must not stand in the way of its batch.

use std::borrow::Cow;

/// The text with each zero character replaced by the sign for what cannot be shown.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
