//! When a circuit opens, closes and lets through, at times that the test says.

use std::time::{Duration, Instant};

use super::{Breaker, Circuit, Settings, state};

const BACKEND: Settings = Settings {
    failures_max: 3,
    failing_min: Duration::from_millis(500),
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_secs(1),
    jitter_percent: 50,
    patience: Some(Duration::from_secs(1)),
};

fn fail(breaker: &Breaker, now: Instant) {
    breaker.enter_at(|| now).unwrap_or_else(|_| panic!("it is open")).failed_at(now, &"away");
}

fn opened(breaker: &Breaker, now: Instant) {
    (0..breaker.settings.failures_max).for_each(|_| fail(breaker, now));
}

#[test]
fn it_opens_after_failures_in_a_row_and_lets_one_call_through_after_a_second() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    assert_eq!(breaker.enter_at(|| now).err(), Some(Settings::PLUGIN.backoff_min));
    let later = now + Settings::PLUGIN.backoff_min;
    let probe = breaker.enter_at(|| later).unwrap_or_else(|_| panic!("half-open"));
    assert!(breaker.enter_at(|| later).is_err(), "only one call goes through a half-open circuit");
    probe.succeeded();
    assert!(breaker.enter_at(|| later).is_ok());
    assert_eq!((breaker.calls(), breaker.failures(), breaker.rejected()), (7, 5, 2));
}

#[test]
fn its_backoff_doubles_to_thirty_seconds() {
    let (breaker, mut now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let wait = breaker.enter_at(|| now).err().expect("open");
        assert_eq!(wait, Duration::from_secs(seconds));
        now += wait;
        fail(&breaker, now);
    }
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    for _ in 0..20 {
        fail(&breaker, now);
        breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed")).succeeded();
    }
    assert!(breaker.open_for().is_none());
}

#[test]
fn a_probe_that_says_nothing_lets_the_next_one_through() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    let later = now + Settings::PLUGIN.backoff_min;
    drop(breaker.enter_at(|| later));
    assert!(breaker.enter_at(|| later).is_ok());
}

#[test]
fn a_probe_that_never_ends_keeps_others_out_for_a_while_only() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    let later = now + Settings::PLUGIN.backoff_min;
    let _endless = breaker.enter_at(|| later).unwrap_or_else(|_| panic!("half-open"));
    assert!(breaker.enter_at(|| later + state::PROBE_MAX / 2).is_err());
    breaker.enter_at(|| later + state::PROBE_MAX).unwrap_or_else(|_| panic!("half-open")).succeeded();
    assert_eq!(breaker.circuit(), Circuit::Closed);
}

#[test]
fn many_failures_at_one_moment_open_nothing_until_they_go_on() {
    let (breaker, now) = (Breaker::of_backend("test", BACKEND), Instant::now());
    (0..100).for_each(|_| fail(&breaker, now));
    assert_eq!(breaker.circuit(), Circuit::Closed);
    fail(&breaker, now + BACKEND.failing_min);
    assert_eq!(breaker.state.lock().circuit_at(now + BACKEND.failing_min).name(), "open");
}

#[test]
fn it_is_open_for_less_than_its_backoff_at_random_but_never_for_less_than_half() {
    let now = Instant::now();
    let waits: std::collections::BTreeSet<Duration> = (0..200)
        .map(|_| {
            let breaker = Breaker::new(BACKEND);
            fail(&breaker, now - BACKEND.failing_min);
            (1..BACKEND.failures_max).for_each(|_| fail(&breaker, now));
            breaker.enter_at(|| now).err().expect("open")
        })
        .collect();
    assert!(waits.len() > 5, "{waits:?}");
    assert!(waits.iter().all(|wait| (Duration::from_millis(50)..=Duration::from_millis(100)).contains(wait)));
}

#[test]
fn a_call_that_was_given_up_late_has_failed_and_one_that_was_given_up_soon_says_nothing() {
    let (breaker, now) = (Breaker::new(BACKEND), Instant::now());
    for (waited, failures) in [(Duration::from_millis(999), 0), (Duration::from_secs(1), 1)] {
        let mut pass = breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed"));
        pass.dropped_at(|| now + waited);
        pass.is_told = true;
        assert_eq!(breaker.failures(), failures);
    }
}
