//! The numbers here were computed by another program, in Python, from the description alone.

use super::*;

fn secret() -> Secret {
    Secret::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn stream() -> Stream {
    secret().stream(Digest::of([1001, 1002, 1003]))
}

#[test]
fn commitment_and_digest_are_those_of_the_description() {
    let commitment = "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd";
    assert_eq!(secret().commitment().to_string(), commitment);
    let digest = "25ccba9ce5cab24d21c5e3b1f0b034d3b2f551bb857d46c6f84c2bc2bce8c26b";
    assert_eq!(Digest::of(["1001", "1002", "1003"]).to_string(), digest);
    let nobody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Digest::of([0_i64; 0]).to_string(), nobody);
    assert_ne!(Digest::of(["1001", "1002"]), Digest::of(["1002", "1001"]));
}

#[test]
fn the_numbers_are_those_of_the_description() {
    let mut three = stream();
    assert_eq!([(); 10].map(|()| three.below(3)), [0, 0, 2, 2, 2, 0, 0, 2, 2, 1]);
    let mut wide = stream();
    let numbers = [1, 2, 10, 100, 1_000, 1_000_000, 1_000_000_000_000, u64::MAX].map(|n| wide.below(n));
    assert_eq!(numbers, [0, 0, 8, 27, 943, 475_820, 451_941_683_210, 1_739_936_413_567_225_133]);
}

#[test]
fn words_that_would_make_a_bias_are_skipped() {
    let mut half = stream();
    let numbers = [(); 4].map(|()| half.below((1 << 63) + 1));
    let expected =
        [8_381_170_451_941_683_210, 1_739_936_413_567_225_133, 6_478_420_307_770_986_421, 6_450_100_663_495_892_070];
    assert_eq!(numbers, expected);
}

#[test]
fn a_choice_is_that_of_the_description_and_never_chooses_twice() {
    let mut entries: Vec<u64> = (0..10).collect();
    stream().choose(&mut entries, 5);
    assert_eq!(entries[..5], [9, 1, 2, 3, 0]);
    entries.sort_unstable();
    assert_eq!(entries, (0..10).collect::<Vec<_>>());
    let mut few = vec![1, 2];
    stream().choose(&mut few, 9);
    few.sort_unstable();
    assert_eq!(few, [1, 2]);
}

#[test]
fn a_secret_is_written_and_read_and_never_logged() {
    let text = serde_json::to_string(&secret()).unwrap();
    assert_eq!(text, format!("\"{}\"", secret().reveal()));
    assert_eq!(serde_json::from_str::<Secret>(&text).unwrap(), secret());
    assert_eq!(format!("{:?}", secret()), "Secret(…)");
    for bad in [&text[..10], &text.to_uppercase(), "\"\"", "7"] {
        assert!(serde_json::from_str::<Secret>(bad).is_err(), "{bad}");
    }
}
