//! The relay over an outbox and a queue that fail on demand: nothing is lost, nothing is out of order, and nobody publishes from a
//! bucket that is another's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod outbox;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenroom::adapters::embedded::SystemClock;
use greenroom::relay::{Relay, Settings};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use outbox::{BUCKETS, Cache, Log, Publisher, View};

/// More than any test publishes.
const QUEUE_LEN_MAX: u64 = 1_000_000;

fn settings() -> Settings {
    Settings {
        lease_ttl: Duration::from_millis(1_000),
        lease_margin: Duration::from_millis(300),
        renew_every: Duration::from_millis(100),
        batch_len_max: 7,
        read_wait: Duration::from_millis(20),
        gather: Duration::ZERO,
        publish_max: Duration::from_millis(300),
        queue_len_max: QUEUE_LEN_MAX,
        backoff_max: Duration::from_millis(100),
    }
}

/// The cache and the queue that hosts share.
struct Show {
    cache: Arc<Cache>,
    log: Arc<Log>,
}

/// A host. It dies like a process does: all its tasks at once.
struct Host {
    runtime: Runtime,
    view: Arc<View>,
    relay: JoinHandle<()>,
    stop: CancellationToken,
}

impl Show {
    fn new() -> Self {
        Self { cache: Cache::new(), log: Arc::default() }
    }

    fn host(&self, name: &str) -> Host {
        self.host_with(name, settings())
    }

    fn host_with(&self, name: &str, settings: Settings) -> Host {
        let (cache, name) = (Arc::clone(&self.cache), name.to_owned());
        let view = View { cache: Arc::clone(&cache), name: name.clone(), has_no_leases: AtomicBool::new(false) };
        let view = Arc::new(view);
        let queue = Arc::new(Publisher { log: Arc::clone(&self.log), cache, name });
        let relay = Relay { outbox: view.clone(), queue, clock: Arc::new(SystemClock), settings };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let relay = runtime.spawn(relay.run(stop.clone()));
        Host { runtime, view, relay, stop }
    }

    /// Holds events of these numbers in every bucket, a little at a time.
    fn hold(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            for bucket in 0..BUCKETS {
                assert!(self.cache.hold(bucket, number));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Every event up to a number was published, for the first time in order within its bucket, and by whoever had the lease.
    fn check(&self, count: u32) {
        let published = self.log.published.lock().clone();
        let mut seen: HashMap<&str, BTreeSet<u32>> = HashMap::new();
        for id in &published {
            let (bucket, number) = id.split_once('-').unwrap();
            let number: u32 = number.parse().unwrap();
            let seen = seen.entry(bucket).or_default();
            let next = u32::try_from(seen.len()).unwrap();
            assert!(number <= next, "{id} came before {bucket}-{next}");
            seen.insert(number);
        }
        assert_eq!(seen.len(), BUCKETS as usize);
        assert!(seen.values().all(|numbers| numbers.len() == count as usize));
        assert_eq!(self.log.trespasses.load(Ordering::SeqCst), 0);
    }

    fn published(&self, id: &str) -> usize {
        self.log.published.lock().iter().filter(|published| *published == id).count()
    }
}

impl Host {
    fn die(self) {
        self.runtime.shutdown_background();
    }

    fn stop(self) {
        self.stop.cancel();
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), self.relay).await })
            .unwrap()
            .unwrap();
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As while the database is away for long: what is held stays in the outbox, which has its own bound.
#[test]
fn nothing_is_published_while_more_waits_to_be_consumed_than_may() {
    let show = Show::new();
    show.log.waiting.store(QUEUE_LEN_MAX, Ordering::SeqCst);
    let host = show.host("anna");
    wait_until("the relay has looked", || show.log.looks.load(Ordering::SeqCst) > 1);
    show.hold(0..10);
    let looks = show.log.looks.load(Ordering::SeqCst);
    wait_until("the relay has looked again", || show.log.looks.load(Ordering::SeqCst) > looks + 1);
    assert_eq!(show.log.published.lock().len(), 0);
    show.log.waiting.store(QUEUE_LEN_MAX - 1, Ordering::SeqCst);
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(10);
    host.stop();
}

#[test]
fn what_is_held_is_published_once_and_in_the_order_of_its_bucket() {
    let show = Show::new();
    let host = show.host("anna");
    show.hold(0..100);
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(100);
    assert_eq!(show.log.published.lock().len(), 100 * BUCKETS as usize, "nothing went wrong, so nothing came twice");
    host.stop();
}

#[test]
fn what_comes_soon_after_a_publish_is_gathered_and_a_stop_does_not_wait_for_it() {
    let show = Show::new();
    let host = show.host_with("anna", Settings { gather: Duration::from_secs(60), ..settings() });
    show.hold(0..1);
    let published = || show.log.published.lock().len();
    wait_until("what comes first is carried at once", || published() == BUCKETS as usize);
    show.hold(1..3);
    std::thread::sleep(settings().read_wait * 10);
    assert_eq!(published(), BUCKETS as usize, "the rest is gathered");
    host.stop();
    let host = show.host("bert");
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(3);
    host.stop();
}

#[test]
fn hosts_share_the_buckets_fairly_and_one_that_stops_gives_them_back_at_once() {
    let show = Show::new();
    let anna = show.host("anna");
    wait_until("anna has all", || show.cache.held_by("anna") == 8);
    let bert = show.host("bert");
    wait_until("each has half", || show.cache.held_by("anna") == 4 && show.cache.held_by("bert") == 4);
    show.hold(0..20);
    bert.stop();
    assert_eq!((show.cache.held_by("bert"), show.cache.relays()), (0, 1));
    wait_until("anna has all", || show.cache.held_by("anna") == 8);
    show.hold(20..40);
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(40);
    anna.stop();
    assert!(!show.cache.is_held() && show.cache.relays() == 0);
}

#[test]
fn a_host_that_dies_is_replaced_within_seconds_and_nothing_is_lost() {
    let show = Show::new();
    let (anna, bert) = (show.host("anna"), show.host("bert"));
    wait_until("each has half", || show.cache.held_by("anna") == 4 && show.cache.held_by("bert") == 4);
    std::thread::scope(|scope| {
        scope.spawn(|| show.hold(0..300));
        wait_until("much is carried", || show.log.published.lock().len() > 400);
        anna.die();
        let died = Instant::now();
        wait_until("bert has all", || show.cache.held_by("bert") == 8);
        assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
    });
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(300);
    bert.stop();
}

#[test]
fn while_the_queue_is_away_events_stay_in_the_outbox() {
    let show = Show::new();
    let host = show.host("anna");
    show.hold(0..20);
    wait_until("some is carried", || show.log.published.lock().len() > 50);
    show.log.is_away.store(true, Ordering::SeqCst);
    show.hold(20..60);
    assert!(show.cache.waiting() >= 40 * BUCKETS as usize);
    show.log.is_away.store(false, Ordering::SeqCst);
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(60);
    host.stop();
}

#[test]
fn a_host_that_cannot_renew_its_leases_stops_publishing_before_they_lapse() {
    let show = Show::new();
    let (anna, bert) = (show.host("anna"), show.host("bert"));
    wait_until("each has half", || show.cache.held_by("anna") == 4 && show.cache.held_by("bert") == 4);
    std::thread::scope(|scope| {
        scope.spawn(|| show.hold(0..1_500));
        anna.view.has_no_leases.store(true, Ordering::SeqCst);
        wait_until("bert has all", || show.cache.held_by("bert") >= 7);
        anna.view.has_no_leases.store(false, Ordering::SeqCst);
        wait_until("each has half", || show.cache.held_by("anna") == 4 && show.cache.held_by("bert") == 4);
    });
    wait_until("all is carried", || show.cache.waiting() == 0);
    show.check(1_500);
    anna.stop();
    bert.stop();
}

#[test]
fn a_bucket_that_went_back_in_time_is_closed_until_what_was_published_is_settled() {
    let show = Show::new();
    let host = show.host("anna");
    show.hold(0..3);
    wait_until("all is carried", || show.cache.waiting() == 0);
    let go_back = show.cache.copy(3);
    assert!(show.cache.hold(3, 3));
    assert!(show.cache.hold(3, 4));
    wait_until("all is carried", || show.published("3-4") == 1 && show.cache.waiting() == 0);
    go_back(&show.cache);
    wait_until("it is closed", || !show.cache.has_epoch(3));
    assert!(!show.cache.hold(3, 9) && show.cache.hold(2, 3), "the other buckets go on");
    wait_until("all is carried", || show.published("2-3") == 1);
    // All but the last.
    let published = show.log.published.lock().len();
    show.log.settled.store(published - 1, Ordering::SeqCst);
    let asked = show.log.asked.load(Ordering::SeqCst);
    wait_until("it was asked for", || show.log.asked.load(Ordering::SeqCst) > asked + 1);
    assert!(!show.cache.has_epoch(3), "an event of it may not be settled");
    show.log.settled.store(published, Ordering::SeqCst);
    wait_until("it is open again", || show.cache.has_epoch(3));
    assert!(show.cache.hold(3, 5));
    wait_until("all is carried", || show.published("3-5") == 1);
    host.stop();
}

#[test]
fn entries_that_come_back_are_published_again_and_none_is_passed_over() {
    let show = Show::new();
    show.hold(0..5);
    let go_back = show.cache.copy(3);
    let host = show.host("anna");
    wait_until("all is carried", || show.cache.waiting() == 0);
    go_back(&show.cache);
    wait_until("they are carried again", || show.published("3-4") == 2);
    assert!(!show.cache.has_epoch(3), "what was removed and came back is a bucket that went back in time");
    show.check(5);
    host.stop();
}

#[test]
fn a_lost_bucket_waits_for_what_another_holder_may_still_be_publishing() {
    let show = Show::new();
    show.cache.flush(3);
    let begun = Instant::now();
    let host = show.host("anna");
    wait_until("it is open again", || show.cache.has_epoch(3));
    let least = settings().publish_max + settings().lease_ttl;
    assert!(begun.elapsed() >= least, "its lease was lost, too, which it may not know: {:?}", begun.elapsed());
    host.stop();
}

#[test]
fn a_recovery_that_another_copy_of_the_data_interrupts_begins_anew() {
    let show = Show::new();
    show.cache.take_over(3, "second");
    let host = show.host("anna");
    wait_until("all else is held", || show.cache.held_by("anna") == 8);
    std::thread::sleep(settings().publish_max);
    show.cache.take_over(3, "third");
    let begun = Instant::now();
    wait_until("it is open again", || show.cache.has_epoch(3));
    assert!(begun.elapsed() >= settings().publish_max + settings().lease_ttl, "{:?}", begun.elapsed());
    assert!(show.cache.hold(3, 0));
    wait_until("all is carried", || show.published("3-0") == 1);
    host.stop();
}
