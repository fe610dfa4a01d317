//! What the filter finds, what it leaves alone, and what is left of a masked text.

use proptest::prelude::*;

use super::*;

fn words(list: &[&str]) -> Words {
    Words::new(&list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

#[test]
fn a_word_is_found_in_the_spellings_in_which_people_hide_it() {
    let words = words(&["damn", "kill"]);
    for text in [
        "damn",
        "DAMN",
        "DaMn!",
        "(damn)",
        "well,damn.",
        "d.a.m.n",
        "d-a*m_n",
        "d a m n",
        "daaamnnn",
        "d4mn",
        "D@mn",
        "dämn",
        "ｄａｍｎ",
        "da\u{200b}mn",
        "d\u{ad}amn",
        "dаmn",
        "𝓭𝓪𝓶𝓷",
        "damn n",
        "d damn",
        "k1ll",
        "ki||",
        "KILL!!!",
        "K!LL",
        "d̷a̷m̷n̷",
    ] {
        assert!(words.are_in(text), "{text}");
    }
}

#[test]
fn what_only_resembles_it_is_left_alone() {
    let words = words(&["ass", "boob", "anus", "bad", "1488"]);
    for text in [
        "class",
        "assume",
        "pass it",
        "as simple as that",
        "bob",
        "an us citizen",
        "455",
        "555 coins",
        "badge",
        "ba d",
        "14880 likes",
        "",
        "*** ...",
        "b",
        "ab ad",
    ] {
        assert!(!words.are_in(text), "{text}");
        assert_eq!(words.mask(text), text);
    }
    assert!(words.are_in("a55") && words.are_in("1488"));
}

#[test]
fn stars_in_the_list_let_a_word_be_found_within_others() {
    let (after, before, both) = (words(&["damn*"]), words(&["*damn"]), words(&["*damn*"]));
    assert!(after.are_in("damned") && !after.are_in("goddamn"));
    assert!(before.are_in("goddamn") && !before.are_in("damned"));
    assert!(both.are_in("goddamned"));
    assert_eq!(both.mask("goddamned!"), "go*****ed!", "each letter as often as it is there");
    assert!(!words(&["", "*", "...", "  "]).are_in("* ... anything"), "a word without letters is never found");
}

#[test]
fn scripts_without_spaces_are_searched_everywhere() {
    let words = words(&["傻瓜", "바보"]);
    assert_eq!(words.mask("你是傻瓜吗"), "你是**吗");
    assert_eq!(words.mask("傻 瓜"), "* *");
    assert_eq!(words.mask("이바보야"), "이**야");
    assert!(!words.are_in("傻子 西瓜"));
}

#[test]
fn stars_stand_for_characters_and_spaces_stay() {
    let words = words(&["damn", "damn it"]);
    assert_eq!(words.mask("oh damn, d a m n you"), "oh ****, * * * * you");
    assert_eq!(words.mask("daaamn d.a.m.n"), "****** *******");
    assert_eq!(words.mask("ﬁne, damn"), "ﬁne, ****");
}

fn spelled(word: &'static str) -> impl Strategy<Value = String> {
    let separators = prop::sample::select(vec!["", ".", "-", "_", "\u{200b}", "·"]);
    let letters: Vec<char> = word.chars().collect();
    let each = prop::collection::vec((any::<bool>(), 1_usize..4, separators), letters.len());
    each.prop_map(move |choices| {
        let mut text = String::new();
        for (letter, (is_upper, times, separator)) in letters.iter().zip(choices) {
            let letter = if is_upper { letter.to_ascii_uppercase() } else { *letter };
            text.extend(std::iter::repeat_n(letter, times));
            text.push_str(separator);
        }
        text
    })
}

proptest! {
    #[test]
    fn a_spelling_of_the_word_is_found_between_any_others(
        before in "[a-z ]{0,12}",
        word in spelled("damn"),
        after in "[a-z ]{0,12}",
    ) {
        prop_assert!(words(&["damn"]).are_in(&format!("{before} {word} {after}")), "{word}");
    }

    #[test]
    fn nothing_is_found_in_a_masked_text_and_its_length_stays(text in "[dD4@amMn. *_!-]{0,60}|\\PC{0,40}|.{0,20}") {
        let words = words(&["damn", "da*", "*nn*", "mad"]);
        let masked = words.mask(&text);
        prop_assert!(!words.are_in(&masked), "{text:?} became {masked:?}");
        prop_assert_eq!(masked.chars().count(), text.chars().count());
        prop_assert_eq!(words.mask(&masked), masked);
    }

    #[test]
    fn what_has_none_of_the_letters_is_never_changed(text in "[bcefghjkopqruvwxyz,;: \u{e4}]{0,60}") {
        prop_assert_eq!(words(&["damn", "*slim*"]).mask(&text), text);
    }
}
