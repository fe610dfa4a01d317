//! A text as the letters that a reader sees in it. Pure.
//!
//! Each character is taken apart by Unicode's compatibility decomposition (`ﬁ`, `ｂ`, `é`, `𝓫`), accents are left out, and letters, digits and
//! signs that look alike are one class. The tables are short: what is easily typed, not all of Unicode's confusables.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::text::is_invisible;

/// What is between a letter and the one before it. Invisible characters are nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    /// Punctuation and the like.
    Joint,
    /// A space at least.
    Space,
}

/// A letter, a digit, or a sign that is used for one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    /// The same for all that look alike.
    pub(super) class: char,
    /// The place of its character in the text.
    pub(super) index: usize,
    pub(super) gap: Gap,
    pub(super) is_alphabetic: bool,
    /// It may as well be punctuation.
    pub(super) is_sign: bool,
    /// Of a script that has no spaces between words.
    pub(super) is_unspaced: bool,
}

/// The letters of a text in their order.
pub(super) fn read(text: &str) -> Vec<Letter> {
    let (mut letters, mut gap) = (Vec::with_capacity(text.len()), Gap::None);
    for (index, c) in text.chars().enumerate() {
        if is_invisible(c) {
            continue;
        }
        if c.is_whitespace() {
            gap = Gap::Space;
            continue;
        }
        for part in parts(c) {
            match class(part) {
                Some(class) => {
                    let is_sign = !part.is_alphanumeric();
                    let (is_alphabetic, is_unspaced) = (part.is_alphabetic(), is_unspaced(part));
                    letters.push(Letter { class, index, gap, is_alphabetic, is_sign, is_unspaced });
                    gap = Gap::None;
                }
                None if gap == Gap::None => gap = Gap::Joint,
                None => {}
            }
        }
    }
    letters
}

/// A character in lower case and without its accents. Syllables of Hangul stay whole: their parts are no letters to look for.
fn parts(c: char) -> impl Iterator<Item = char> {
    let (whole, decomposed) = match c {
        '\u{ac00}'..='\u{d7a3}' => (Some(c), None),
        _ => (None, Some(c)),
    };
    let decomposed = decomposed.into_iter().flat_map(|c| std::iter::once(c).nfkd());
    whole.into_iter().chain(decomposed).filter(|part| !is_combining_mark(*part)).flat_map(char::to_lowercase)
}

/// None for what is no letter.
fn class(c: char) -> Option<char> {
    Some(match c {
        'l' | 'ł' | 'ı' | '1' | '!' | '|' | 'і' | 'ι' => 'i',
        '0' | 'о' | 'ο' | 'σ' | 'ø' => 'o',
        '3' | '€' | 'е' | 'ε' | 'э' => 'e',
        '4' | '@' | 'а' | 'α' => 'a',
        '5' | '$' | 'ѕ' => 's',
        '7' | '+' | 'т' | 'τ' => 't',
        '8' | 'в' | 'β' | 'ь' => 'b',
        '9' => 'g',
        'ß' => 's',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'н' => 'h',
        'р' | 'ρ' => 'p',
        'с' | '¢' => 'c',
        'у' | 'υ' | 'γ' => 'y',
        'х' | 'χ' => 'x',
        'ј' => 'j',
        'ν' => 'v',
        'η' => 'n',
        'đ' | 'ð' => 'd',
        c if c.is_alphanumeric() => c,
        _ => return None,
    })
}

fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..)
}
