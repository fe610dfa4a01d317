//! The word filter: finds words of a list in whatever spelling people hide them, and puts stars in their place. Pure.
//!
//! Word and text are read as letters (`letters`), in which case, accents, look-alikes of other scripts, digits and signs for letters, and
//! invisible characters make no difference. A word is found
//! - if each of its letters is there at least as often as in the word, so `baaad` is `bad`, and `bob` is not `boob`;
//! - as a whole word, so `class` is not what ends in it, unless the list says `*word`; scripts that are written without spaces have no
//!   whole words, and are searched everywhere;
//! - with anything but spaces between its letters (`b.a-d`), and with spaces if they are between all of them (`b a d`, but not `ba d`) or if
//!   the list has several words there;
//! - never in digits and signs alone (`455` is a number), unless the word has nothing else.
//!
//! It is a filter, no judge: who wants to be understood finds a spelling that it does not know.

mod letters;

use std::collections::BTreeMap;

use letters::{Gap, Letter};

/// Stars may bring letters together that were apart, so a masked text is searched again, so often at most.
const PASSES: usize = 8;
const STAR: char = '*';

/// A list of words, ready to be found.
#[derive(Debug)]
pub(crate) struct Words {
    /// By their first letter.
    words: BTreeMap<char, Vec<Word>>,
}

#[derive(Debug)]
struct Word {
    /// Each letter with how often it comes one after another; at least one.
    runs: Vec<(char, usize)>,
    is_open_before: bool,
    is_open_after: bool,
    /// Of digits and signs alone.
    is_number: bool,
    /// Of several words.
    is_phrase: bool,
}

impl Words {
    /// Of the configuration's list. What has no letters, digits or signs for letters is never found.
    pub(crate) fn new(list: &[String]) -> Self {
        let mut words: BTreeMap<char, Vec<Word>> = BTreeMap::new();
        for word in list.iter().filter_map(|text| Word::new(text)) {
            if let Some((first, _)) = word.runs.first() {
                words.entry(*first).or_default().push(word);
            }
        }
        Self { words }
    }

    /// Whether one of the words is in a text.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        !self.found(text).is_empty()
    }

    /// The text with a star for each character of the words that are in it, the spaces between them excepted; none of them is in the result.
    pub(crate) fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for _ in 0..PASSES {
            let found = self.found(&masked);
            if found.is_empty() {
                return masked;
            }
            masked = starred(&masked, |index| found.iter().any(|(from, to)| (*from..*to).contains(&index)));
        }
        starred(text, |_| true)
    }

    /// Where words are, as ranges of characters.
    fn found(&self, text: &str) -> Vec<(usize, usize)> {
        if self.words.is_empty() {
            return Vec::new();
        }
        let letters = letters::read(text);
        let (mut found, mut start) = (Vec::new(), 0);
        while let Some(first) = letters.get(start) {
            let words = self.words.get(&first.class).into_iter().flatten();
            // The longest, so that nothing of a word is left over if a shorter one begins in the same way.
            match words.filter_map(|word| word.end_in(&letters, start)).max() {
                Some(end) => {
                    let last = letters.get(end.saturating_sub(1)).unwrap_or(first);
                    found.push((first.index, last.index + 1));
                    start = end;
                }
                None => start += 1,
            }
        }
        found
    }
}

fn starred(text: &str, is_hidden: impl Fn(usize) -> bool) -> String {
    let star = |(index, c): (usize, char)| if is_hidden(index) && !c.is_whitespace() { STAR } else { c };
    text.chars().enumerate().map(star).collect()
}

impl Word {
    fn new(text: &str) -> Option<Self> {
        let inner = text.trim().trim_matches(STAR);
        let letters = letters::read(inner);
        let mut runs: Vec<(char, usize)> = Vec::new();
        for letter in &letters {
            match runs.last_mut() {
                Some((class, times)) if *class == letter.class => *times += 1,
                _ => runs.push((letter.class, 1)),
            }
        }
        (!runs.is_empty()).then(|| Self {
            runs,
            is_open_before: text.trim().starts_with(STAR),
            is_open_after: text.trim().ends_with(STAR),
            is_number: letters.iter().all(|letter| !letter.is_alphabetic),
            is_phrase: letters.iter().any(|letter| letter.gap == Gap::Space),
        })
    }

    /// The letter after the word, if it begins at `start`.
    fn end_in(&self, letters: &[Letter], start: usize) -> Option<usize> {
        if !self.is_open_before && !is_bound(letters, start) {
            return None;
        }
        let mut at = start;
        let mut shortest_end = start;
        for (class, times) in &self.runs {
            let here = letters.get(at..).unwrap_or_default();
            let run = here.iter().take_while(|letter| letter.class == *class).count();
            if run < *times {
                return None;
            }
            shortest_end = at + times;
            at += run;
        }
        // What follows may begin with the word's last letter: `bad dog`.
        (shortest_end..=at).rev().find(|end| {
            let found = letters.get(start..*end).unwrap_or_default();
            (self.is_open_after || is_bound(letters, *end))
                && (self.is_phrase || is_written_together(found))
                && (self.is_number || found.iter().any(|letter| letter.is_alphabetic))
        })
    }
}

/// Whether a word may begin or end before the letter at `index`.
fn is_bound(letters: &[Letter], index: usize) -> bool {
    let Some(next) = letters.get(index) else { return true };
    let Some(before) = index.checked_sub(1).and_then(|before| letters.get(before)) else { return true };
    next.gap != Gap::None || next.is_sign || before.is_sign || next.is_unspaced || before.is_unspaced
}

/// Not so if it is part of several words with a space between them: there are spaces between all letters or none.
fn is_written_together(found: &[Letter]) -> bool {
    let inner = found.get(1..).unwrap_or_default();
    let has_space = inner.iter().any(|letter| letter.gap == Gap::Space);
    let has_neighbours = inner.iter().any(|letter| letter.gap == Gap::None && !letter.is_unspaced);
    !(has_space && has_neighbours)
}

#[cfg(test)]
mod tests;
