//! What becomes of events that cannot be settled, with the host's own worker.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use greenroom::adapters::embedded::SystemClock;
use greenroom::domain::{Account, Amount, Event, EventId};
use greenroom::ledger::{TRANSFER_TOPIC, Transfer, Voided};
use greenroom::ports::cache::Hold;
use greenroom::ports::clock::Clock as _;
use greenroom::ports::db::{self, DeadLetter, Deliveries, Ledger as _, Retry};
use greenroom::ports::queue::{self, Queue};
use greenroom::settle::{HOST_GROUP, Ladder, Pace, Settle};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::house::{ANNA, BERT, House, hold, new_id, posting};

/// A queue that refuses to be subscribed to so many times, and whose first so many events cannot be read.
struct Shy {
    queue: Arc<dyn Queue>,
    refusals: AtomicU32,
    unreadable: Arc<AtomicU32>,
    /// How often it refuses to tell of dead letters, and those it has told of.
    mute: Arc<AtomicU32>,
    told: Arc<Mutex<Vec<i64>>>,
    committed: Arc<Mutex<Vec<u64>>>,
}

/// A consumer of it.
struct Torn {
    consumer: Box<dyn queue::Consumer>,
    unreadable: Arc<AtomicU32>,
    /// The offsets of each commit, summed up.
    committed: Arc<Mutex<Vec<u64>>>,
}

fn is_left(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl queue::Consumer for Torn {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<queue::Delivery>, queue::Error> {
        let mut taken = self.consumer.poll(max, wait).await?;
        for delivery in &mut taken {
            delivery.fault = is_left(&self.unreadable).then(|| "torn".into());
        }
        Ok(taken)
    }
    async fn commit(&mut self, offsets: queue::Offsets) -> Result<(), queue::Error> {
        self.committed.lock().unwrap().push(offsets.values().sum());
        self.consumer.commit(offsets).await
    }
}

#[async_trait]
impl Queue for Shy {
    async fn publish(&self, events: Vec<Event>) -> Result<(), queue::Error> {
        self.queue.publish(events).await
    }
    async fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn queue::Consumer>, queue::Error> {
        if is_left(&self.refusals) {
            return Err(queue::Error::Unavailable("not now".into()));
        }
        let consumer = self.queue.subscribe(group, topics).await?;
        Ok(Box::new(Torn {
            consumer,
            unreadable: Arc::clone(&self.unreadable),
            committed: Arc::clone(&self.committed),
        }))
    }
    async fn forget(&self, group: &str) -> Result<(), queue::Error> {
        self.queue.forget(group).await
    }
    async fn pending(&self) -> Result<Vec<Arc<Event>>, queue::Error> {
        self.queue.pending().await
    }
    async fn tell_dead(&self, letters: &[DeadLetter]) -> Result<(), queue::Error> {
        if is_left(&self.mute) {
            return Err(queue::Error::Unavailable("the topic is gone".into()));
        }
        self.told.lock().unwrap().extend(letters.iter().map(|letter| letter.id));
        Ok(())
    }
    async fn mark(&self) -> Result<queue::Mark, queue::Error> {
        self.queue.mark().await
    }

    async fn is_past(&self, mark: &mut queue::Mark) -> Result<bool, queue::Error> {
        self.queue.is_past(mark).await
    }

    async fn backlog(&self) -> Result<u64, queue::Error> {
        self.queue.backlog().await
    }

    async fn lag(&self) -> Result<std::collections::BTreeMap<String, u64>, queue::Error> {
        self.queue.lag().await
    }
}

/// Deliveries that are at fault the first time.
struct Faulty {
    db: Arc<dyn Deliveries>,
    faults: AtomicU32,
}

#[async_trait]
impl Deliveries for Faulty {
    async fn set_aside(&self, retries: Vec<Retry>, dead: Vec<DeadLetter>) -> Result<(), db::Error> {
        let left = self.faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "a fault of this test");
        self.db.set_aside(retries, dead).await
    }
    async fn due(&self, group: &str, now_ms: u64, limit: usize) -> Result<Vec<Retry>, db::Error> {
        self.db.due(group, now_ms, limit).await
    }
    async fn remove_retries(&self, ids: &[i64]) -> Result<(), db::Error> {
        self.db.remove_retries(ids).await
    }
    async fn waiting(&self) -> Result<Vec<Event>, db::Error> {
        self.db.waiting().await
    }
    async fn waiting_of(&self, payer: Account) -> Result<Vec<Event>, db::Error> {
        self.db.waiting_of(payer).await
    }
    async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<DeadLetter>, db::Error> {
        self.db.dead_letters(after, limit).await
    }
    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, db::Error> {
        self.db.dead_letter(id).await
    }
    async fn unpublished_dead_letters(
        &self,
        now_ms: u64,
        until_ms: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, db::Error> {
        self.db.unpublished_dead_letters(now_ms, until_ms, limit).await
    }
    async fn dead_letters_published(&self, ids: &[i64]) -> Result<(), db::Error> {
        self.db.dead_letters_published(ids).await
    }
    async fn replay(&self, id: i64, now_ms: u64) -> Result<bool, db::Error> {
        self.db.replay(id, now_ms).await
    }
    async fn drop_dead_letter(&self, id: i64) -> Result<bool, db::Error> {
        self.db.drop_dead_letter(id).await
    }
}

/// A worker that settles.
struct Settling {
    mute: Arc<AtomicU32>,
    told: Arc<Mutex<Vec<i64>>>,
    committed: Arc<Mutex<Vec<u64>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Settling {
    async fn start(house: &House, dir: &TempDir, refusals: u32, faults: u32) -> Self {
        Self::start_torn(house, dir, refusals, faults, 0).await
    }

    async fn start_torn(house: &House, dir: &TempDir, refusals: u32, faults: u32, unreadable: u32) -> Self {
        let (mute, told, committed) = (Arc::new(AtomicU32::new(0)), Arc::default(), Arc::default());
        let queue = Shy {
            mute: Arc::clone(&mute),
            told: Arc::clone(&told),
            committed: Arc::clone(&committed),
            queue: house.embedded.queue.clone(),
            refusals: AtomicU32::new(refusals),
            unreadable: Arc::new(AtomicU32::new(unreadable)),
        };
        let settle = Settle {
            ledger: house.ledger.clone(),
            registry: house.registry(dir).await,
            queue: Arc::new(queue),
            deliveries: Arc::new(Faulty { db: house.db.clone(), faults: AtomicU32::new(faults) }),
            clock: Arc::new(SystemClock),
            ladder: Ladder::new(vec![Duration::from_millis(1)]),
            pace: Pace { lanes: 3, lane_len: 2, gather: Duration::from_millis(30) },
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(settle.run(stop.clone()));
        Self { mute, told, committed, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn letters(house: &House) -> Vec<DeadLetter> {
    house.db.dead_letters(0, 10).await.unwrap()
}

async fn transfer(house: &House, amount: i64) {
    let transfer = Transfer {
        event_id: new_id(),
        payer: ANNA,
        receiver: BERT.user_id,
        amount: Amount(amount),
        event_type: "test".into(),
        biz_id: "7".into(),
        biz_type: 1,
        obj_id: "o".into(),
        by: ANNA.user_id,
    };
    house.ledger.transfer(&transfer).await.unwrap();
}

/// A transfer that nobody can read.
fn poison() -> Hold {
    Hold { topic: TRANSFER_TOPIC.into(), plugin: HOST_GROUP.into(), payload: "{".into(), ..hold(ANNA, &new_id(), 30) }
}

/// One that is not due for long.
fn retry_of(event: Event, offset: u64) -> Retry {
    let (group, reason) = ("test".into(), "r".into());
    Retry { id: 0, group, partition: 0, offset, attempt: 2, due_ms: u64::MAX >> 1, reason, event }
}

async fn adds_up(house: &House) {
    assert_eq!(house.differences().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_poison_event_becomes_a_dead_letter_and_its_neighbours_are_settled() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    transfer(&house, 5).await;
    let answer = house.ledger.hold(poison()).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    transfer(&house, 7).await;
    let settling = Settling::start(&house, &dir, 0, 0).await;
    until("a dead letter", async || letters(&house).await.len() == 1).await;
    until("its neighbours", async || house.settled(ANNA).await == 88).await;

    let letter = letters(&house).await.remove(0);
    assert!(letter.reason.contains("payload"), "{}", letter.reason);
    assert_eq!(house.spendable(ANNA).await, 58, "its hold stands");
    adds_up(&house).await;

    assert!(house.db.replay(letter.id, 0).await.unwrap());
    until("another dead letter", async || letters(&house).await.iter().any(|again| again.id != letter.id)).await;
    let again = letters(&house).await.remove(0);
    assert_eq!((again.attempts, again.offset), (2, letter.offset));
    assert_eq!(house.spendable(ANNA).await, 58);
    adds_up(&house).await;
    settling.stop().await;

    house.close().await;
    let house = House::open(&dir).await;
    assert_eq!(house.spendable(ANNA).await, 58, "its hold stands after a restart");
    adds_up(&house).await;
    assert_eq!(house.ledger.void(ANNA, &again.event.event_id).await.unwrap(), Voided::Voided);
    assert!(house.db.drop_dead_letter(again.id).await.unwrap());
    assert_eq!((house.spendable(ANNA).await, house.settled(ANNA).await), (88, 88));
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_topic_of_dead_letters_that_is_away_holds_nothing_up_and_is_told_of_each_in_the_end() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let settling = Settling::start(&house, &dir, 0, 0).await;
    settling.mute.store(u32::MAX, Ordering::SeqCst);
    for _ in 0..2 {
        let answer = house.ledger.hold(poison()).await.unwrap();
        house.ledger.durable(answer.position).await.unwrap();
        transfer(&house, 5).await;
    }
    until("the neighbours", async || house.settled(ANNA).await == 90).await;
    until("the table", async || letters(&house).await.len() == 2).await;
    until("a refusal", async || settling.mute.load(Ordering::SeqCst) < u32::MAX).await;
    assert!(settling.told.lock().unwrap().is_empty());
    settling.stop().await;

    // Who had them has not told them; another process has its turn when theirs is over.
    let late = SystemClock.now_ms() + 120_000;
    let ids: Vec<i64> = letters(&house).await.iter().map(|letter| letter.id).collect();
    let untold = house.db.unpublished_dead_letters(late, 0, 10).await.unwrap();
    assert_eq!(untold.iter().map(|letter| letter.id).collect::<Vec<_>>(), ids);
    let settling = Settling::start(&house, &dir, 0, 0).await;
    until("both are told of", async || *settling.told.lock().unwrap() == ids).await;
    until("that is remembered", async || {
        house.db.unpublished_dead_letters(u64::MAX >> 1, 0, 10).await.unwrap().is_empty()
    })
    .await;
    settling.stop().await;
    house.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_without_being_consumed() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    transfer(&house, 5).await;
    transfer(&house, 7).await;
    let settling = Settling::start_torn(&house, &dir, 0, 0, 1).await;
    until("its neighbour", async || house.settled(ANNA).await == 93).await;
    until("the dead letter", async || letters(&house).await.len() == 1).await;
    let letter = letters(&house).await.remove(0);
    assert_eq!((letter.reason.as_str(), letter.attempts), ("it cannot be read: torn", 1));
    settling.stop().await;
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn transfers_are_settled_even_if_the_queue_was_not_there_at_first() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    transfer(&house, 5).await;
    let settling = Settling::start(&house, &dir, 2, 0).await;
    until("settling", async || house.settled(ANNA).await == 95).await;
    settling.stop().await;
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn every_batch_of_a_poll_is_committed_before_the_next_one_is_begun() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 10_000).await;
    futures::future::join_all((0..2_500).map(|_| transfer(&house, 1))).await;
    let settling = Settling::start(&house, &dir, 0, 0).await;
    until("all are settled", async || house.settled(ANNA).await == 7_500).await;
    until("all are committed", async || house.embedded.queue.is_empty()).await;
    let committed = settling.committed.lock().unwrap().clone();
    settling.stop().await;
    // Rankings remember one batch: what a crash delivers again must not be more.
    let batches: Vec<u64> =
        committed.iter().scan(0, |before, end| Some(end - std::mem::replace(before, *end))).collect();
    assert!(batches.iter().all(|batch| *batch <= 1_000) && batches.contains(&1_000), "{batches:?}");
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_ends_before_its_time_is_followed_by_another() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let settling = Settling::start(&house, &dir, 0, 1).await;
    let answer = house.ledger.hold(poison()).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    until("a dead letter", async || letters(&house).await.len() == 1).await;
    transfer(&house, 5).await;
    until("what came after it", async || house.settled(ANNA).await == 95).await;
    settling.stop().await;
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_dead_letter_whose_event_id_is_known_with_other_content_can_be_given_up() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    house.hold_unasked(hold(ANNA, &id, 20)).await;
    house.db.post(&[posting(ANNA, BERT, &id, 10)]).await.unwrap();
    house.ledger.post(&[posting(ANNA, BERT, &id, 20)]).await.unwrap();
    assert_eq!(house.ledger.void(ANNA, &id).await.unwrap(), Voided::Voided);
    house.deliver().await;
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn what_was_set_aside_holds_its_money_after_the_cache_has_lost_everything() {
    let [dir, empty, another] = [(); 3].map(|()| TempDir::new().unwrap());
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let ids = [new_id(), new_id(), new_id()];
    for (id, amount) in ids.iter().zip([10, 20, 40]) {
        let answer = house.ledger.hold(hold(ANNA, id, amount)).await.unwrap();
        house.ledger.durable(answer.position).await.unwrap();
    }
    let events = house.deliver().await;
    assert_eq!(events.len(), 3);
    house.ledger.post(&[posting(ANNA, BERT, &ids[0], 10)]).await.unwrap();
    let event = |id: &EventId| (**events.iter().find(|event| event.event_id == *id).unwrap()).clone();
    let (posted, retry) = (retry_of(event(&ids[0]), 0), retry_of(event(&ids[1]), 1));
    let dead = DeadLetter {
        id: 0,
        group: "test".into(),
        partition: 0,
        offset: 2,
        attempts: 1,
        reason: "r".into(),
        at_ms: 1,
        event: event(&ids[2]),
    };
    house.db.set_aside(vec![posted, retry], vec![dead]).await.unwrap();
    assert_eq!(house.spendable(ANNA).await, 30);
    house.close().await;

    let house = House::open_with_cache_in(&empty, &dir).await;
    assert_eq!((house.spendable(ANNA).await, house.settled(ANNA).await), (30, 90));
    adds_up(&house).await;
    let again = house.ledger.hold(hold(ANNA, &ids[1], 20)).await.unwrap();
    assert!(again.replayed, "it is known, as it is held");
    house.ledger.post(&[posting(ANNA, BERT, &ids[1], 20)]).await.unwrap();
    assert_eq!((house.spendable(ANNA).await, house.settled(ANNA).await), (30, 70));
    adds_up(&house).await;
    house.close().await;

    // Nobody has loaded the account yet.
    let house = House::open_with_cache_in(&another, &dir).await;
    assert_eq!(house.ledger.void(ANNA, &ids[2]).await.unwrap(), Voided::Voided);
    assert_eq!((house.spendable(ANNA).await, house.settled(ANNA).await), (70, 70));
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn an_event_that_is_posted_while_its_account_is_loaded_is_never_left_out() {
    let (dir, empty) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    let answer = house.ledger.hold(hold(ANNA, &id, 60)).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    let event = house.deliver().await.remove(0);
    house.db.set_aside(vec![retry_of((*event).clone(), 0)], Vec::new()).await.unwrap();
    house.close().await;

    // As a load does it, with a post in between whose release comes late.
    let house = House::open_with_cache_in(&empty, &dir).await;
    let lease = house.cache().lease(ANNA).await.unwrap().unwrap();
    let waiting = house.db.waiting_of(ANNA).await.unwrap();
    house.db.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    let settled = house.db.account(ANNA).await.unwrap();
    assert!(house.cache().fill(ANNA, lease, settled, &waiting).await.unwrap());
    assert_eq!(house.spendable(ANNA).await, -20, "too little, never too much");
    house.ledger.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    assert_eq!(house.spendable(ANNA).await, 40);
    adds_up(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_retry_of_an_event_that_was_posted_holds_nothing_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    let answer = house.ledger.hold(hold(ANNA, &id, 60)).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    let event = house.deliver().await.remove(0);
    house.ledger.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    // A consumer that failed after it had posted, such as in what follows the books.
    house.db.set_aside(vec![retry_of((*event).clone(), 0)], Vec::new()).await.unwrap();
    house.close().await;

    let house = House::open(&dir).await;
    assert_eq!(house.spendable(ANNA).await, 40);
    adds_up(&house).await;
    house.close().await;
}
