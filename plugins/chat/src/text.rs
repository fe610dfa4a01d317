//! What a message's text may be. Pure.

use crate::refusal::No;

/// The text as it is shown: without blanks around it. `len_max` counts characters (Unicode scalar values) after that.
pub(crate) fn tidy(text: &str, len_max: u32) -> Result<&str, No> {
    let text = text.trim();
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(No::Empty);
    }
    if text.chars().any(|c| c.is_control() || turns_around(c)) {
        return Err(No::Control);
    }
    let has = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if has > u64::from(len_max) {
        return Err(No::TooLong { text_len_max: len_max, has });
    }
    Ok(text)
}

/// Takes no room, so it hides between the letters of a word: soft hyphen, zero-width characters, variation selectors, tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Changes the direction of what comes after it, also of what is not the writer's: overrides, embeddings and isolates of Unicode's UAX 9.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_or_breaks_the_page_is_refused() {
        assert_eq!(tidy("  hello there ", 200), Ok("hello there"));
        for empty in ["", "   ", "\n", "\u{200b}\u{200b}", "\u{3164} \u{feff}"] {
            assert_eq!(tidy(empty, 200), Err(No::Empty), "{empty:?}");
        }
        for control in ["a\nb", "a\0b", "a\u{1b}[31mb", "a\u{202e}b", "\u{2066}a"] {
            assert_eq!(tidy(control, 200), Err(No::Control), "{control:?}");
        }
        assert_eq!(tidy("äöü😀", 4), Ok("äöü😀"));
        assert_eq!(tidy("äöü😀", 3), Err(No::TooLong { text_len_max: 3, has: 4 }));
    }

    proptest! {
        #[test]
        fn what_is_let_through_is_short_and_stays_as_it_is(text in "\\PC{0,60}|.{0,20}", len_max in 1_u32..40) {
            if let Ok(tidied) = tidy(&text, len_max) {
                prop_assert!((1..=len_max as usize).contains(&tidied.chars().count()));
                prop_assert_eq!(tidy(tidied, len_max), Ok(tidied));
                prop_assert!(text.contains(tidied));
            }
        }
    }
}
