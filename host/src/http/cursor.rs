//! Opaque cursors: where a page ended, in a shape that clients can only give back.
//!
//! A checksum over scope and place refuses what was changed, cut, or made for another list. It is no signature: a forged cursor
//! would show nothing that a page could not.

use super::problem::Problem;

/// The longest place that fits, in bytes.
const PLACE_LEN_MAX: usize = 512;

/// Writes a cursor for a place in a list; the scope names the list.
#[must_use]
pub fn write(scope: &str, place: &str) -> String {
    let mut text = format!("{:08x}", checksum(scope, place));
    for byte in place.bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Reads a cursor that was written for the same scope.
///
/// # Errors
/// `invalid-request` if it was not.
pub fn read(scope: &str, cursor: &str) -> Result<String, Problem> {
    parse(scope, cursor).ok_or_else(|| Problem::invalid("cursor", "it is not one that this list gave"))
}

fn parse(scope: &str, cursor: &str) -> Option<String> {
    if !cursor.is_ascii() || cursor.len() > 8 + 2 * PLACE_LEN_MAX || !cursor.len().is_multiple_of(2) {
        return None;
    }
    let (sum, hex) = cursor.split_at_checked(8)?;
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let place = String::from_utf8(bytes).ok()?;
    (u32::from_str_radix(sum, 16).ok()? == checksum(scope, &place)).then_some(place)
}

fn checksum(scope: &str, place: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(scope.as_bytes());
    hasher.update(&[0]);
    hasher.update(place.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_that_was_changed_or_is_another_lists_is_refused() {
        let cursor = write("rooms", "1017");
        assert_eq!(read("rooms", &cursor).unwrap(), "1017");
        for bad in ["", "x", "zzzzzzzz", "00000000", &cursor[..10], &format!("{cursor}00"), "é0000000"] {
            assert_eq!(read("rooms", bad).unwrap_err().code(), 10006, "{bad}");
        }
        assert!(read("audit:7", &cursor).is_err());
    }

    proptest! {
        #[test]
        fn every_place_comes_back(place in ".{0,100}") {
            prop_assert_eq!(read("s", &write("s", &place)).unwrap(), place);
        }

        #[test]
        fn no_text_is_a_crash(text in ".{0,60}") {
            let _ = parse("s", &text);
        }
    }
}
