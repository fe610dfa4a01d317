//! Pots: what a plugin may do with its own, and that another plugin's cannot be touched.

use super::*;
use crate::plugin::host::pots::NEW_PER_CALL_MAX;
use crate::ports::queue::Consumer;

impl House {
    async fn pot(&self, name: &str) -> i64 {
        self.call(Kind::Told).pot(name.into()).await.unwrap().unwrap()
    }

    /// A call of another plugin over the same backends.
    fn stranger(&self, kind: Kind) -> State {
        let mut state = State::new(Arc::clone(&self.ports), Arc::new(Profile { name: "thief".into(), ..profile() }));
        state.call = Call::new(kind, None, &self.profile.limits);
        state
    }

    /// Anna puts 100 into a pot.
    async fn funded(&self, name: &str) -> i64 {
        let pot = self.pot(name).await;
        let mut state = self.batch(TOPIC).await;
        assert_eq!(post(&mut state, "e1", ANNA, funding(pot)).await, Ok("posted"));
        pot
    }

    async fn in_pot(&self, pot: i64) -> (i64, i64) {
        let balance = self.call(Kind::Told).get_balance(gold(pot)).await.unwrap().unwrap();
        (balance.settled, balance.held)
    }
}

fn funding(pot: i64) -> Vec<Entry> {
    vec![entry(ANNA, GOLD, Part::Payer, -100), entry(pot, GOLD, Part::System, 100)]
}

/// What became of a posting, in a word; or the reason why it was refused.
async fn post(state: &mut State, event_id: &str, payer: i64, entries: Vec<Entry>) -> Result<&'static str, String> {
    match state.post(vec![posting(event_id, payer, entries)]).await.unwrap().unwrap().remove(0) {
        PostOutcome::Posted => Ok("posted"),
        PostOutcome::Duplicate => Ok("duplicate"),
        PostOutcome::Voided => Ok("voided"),
        PostOutcome::Refused(why) => Err(why),
    }
}

/// So many events; each is there once it is durable.
async fn polled(consumer: &mut dyn Consumer, count: usize) -> Arc<[Delivery]> {
    let mut events = Vec::new();
    while events.len() < count {
        let more = consumer.poll(10, std::time::Duration::from_secs(30)).await.unwrap();
        assert!(!more.is_empty(), "{} of {count} events", events.len());
        events.extend(more);
    }
    events.into()
}

fn paid(payer: i64, event_id: &str, amount: i64) -> HoldRequest {
    HoldRequest { amount, ..hold(payer, event_id) }
}

#[tokio::test]
async fn a_pot_is_funded_paid_out_and_empty_at_its_end() {
    let house = house().await;
    let mut consumer = house.embedded.queue.subscribe("rest", &[TOPIC.into()]).await.unwrap();
    let pot = house.pot("draw-1").await;
    assert_eq!((pot, house.pot("draw-1").await, house.pot("draw-2").await), (-1_000_001, pot, -1_000_002));
    assert_eq!(house.in_pot(pot).await, (0, 0), "before anything was put in");
    let early = house.call(Kind::Told).hold(paid(pot, "draw-1:1", 60)).await.unwrap();
    let Err(Error::InsufficientBalance(shortage)) = early else { panic!("{early:?}") };
    assert_eq!((shortage.balance, shortage.needed), (0, 60));
    assert_eq!(house.funded("draw-1").await, pot);
    assert_eq!(house.in_pot(pot).await, (100, 0));

    // A timer pays the winner, a batch gives the rest back; more than there is goes nowhere.
    let mut told = house.call(Kind::Told);
    let outcome = told.hold(paid(pot, "draw-1:1", 60)).await.unwrap().unwrap();
    assert_eq!((outcome.balance, outcome.replayed), (40, false));
    assert!(told.hold(paid(pot, "draw-1:1", 60)).await.unwrap().unwrap().replayed);
    assert!(!told.call.positions.is_empty(), "the timer counts as fired only once the hold is durable");
    let over = house.call(Kind::Consume(Arc::new([]))).hold(paid(pot, "draw-1:2", 41)).await.unwrap();
    assert!(matches!(over, Err(Error::InsufficientBalance(_))), "{over:?}");
    house.call(Kind::Consume(Arc::new([]))).hold(paid(pot, "draw-1:2", 40)).await.unwrap().unwrap();
    let found = told.find(gold(pot), "draw-1:2".into(), b"100".to_vec()).await.unwrap().unwrap();
    assert_eq!(found.map(|outcome| outcome.amount), Some(40));

    let mut state = house.call(Kind::Consume(polled(&mut *consumer, 3).await));
    let books = |x: i64, user| vec![entry(pot, GOLD, Part::Payer, -x), entry(user, GOLD, Part::Receiver, x)];
    assert_eq!(post(&mut state, "draw-1:1", pot, books(60, BERT)).await, Ok("posted"));
    assert_eq!(post(&mut state, "draw-1:2", pot, books(40, ANNA)).await, Ok("posted"));
    assert_eq!(post(&mut state, "draw-1:1", pot, books(60, BERT)).await, Ok("duplicate"));
    assert_eq!(house.in_pot(pot).await, (0, 0));
    let balance = async |user| house.ports.ledger.balance(gold(user).into()).await.unwrap().spendable.0;
    assert_eq!((balance(ANNA).await, balance(BERT).await), (940, 1_060));
}

#[tokio::test]
async fn what_a_pot_has_held_is_given_back_by_its_plugin_alone() {
    let house = house().await;
    let pot = house.funded("packet").await;
    house.call(Kind::Told).hold(paid(pot, "p:1", 30)).await.unwrap().unwrap();
    let refused = house.stranger(Kind::Told).void(gold(pot), "p:1".into()).await.unwrap();
    assert!(matches!(refused, Err(Error::NotGranted(_))), "{refused:?}");
    assert_eq!(house.in_pot(pot).await, (100, 30));
    let voided = house.call(Kind::Told).void(gold(pot), "p:1".into()).await.unwrap().unwrap();
    assert_eq!((voided, house.in_pot(pot).await), (VoidOutcome::Voided, (100, 0)));
}

#[tokio::test]
async fn another_plugins_pot_is_not_read_not_spent_and_not_paid_into() {
    let house = house().await;
    let mut consumer = house.embedded.queue.subscribe("rest", &[TOPIC.into()]).await.unwrap();
    let pot = house.funded("draw").await;
    let mut thief = house.stranger(Kind::Told);
    assert_ne!(thief.pot("draw".into()).await.unwrap().unwrap(), pot, "the name is the plugin's own");
    let refused = thief.hold(paid(pot, "x", 100)).await.unwrap();
    assert!(matches!(&refused, Err(Error::NotGranted(why)) if why.contains("no pot of this plugin")), "{refused:?}");
    for call in [
        thief.get_balance(gold(pot)).await.unwrap().map(drop),
        thief.find(gold(pot), "x".into(), Vec::new()).await.unwrap().map(drop),
    ] {
        assert!(matches!(call, Err(Error::NotGranted(_))), "{call:?}");
    }
    let foreign = thief.pot("draw".into()).await.unwrap().unwrap();
    held(&mut house.request_of(ANNA), "e2").await;
    let mut state = house.call(Kind::Consume(polled(&mut *consumer, 2).await));
    for stranger in [foreign, -1_000_999] {
        let outcome = post(&mut state, "e2", ANNA, funding(stranger)).await;
        assert!(matches!(&outcome, Err(why) if why.contains("no pot of this plugin")), "{outcome:?}");
    }
    assert_eq!(house.held_by_anna().await, 100);
}

#[tokio::test]
async fn nothing_is_held_from_the_mint_or_the_platform_and_nothing_is_minted_into_a_pot() {
    let house = house().await;
    let pot = house.pot("draw").await;
    for kind in [Kind::Told, Kind::Consume(Arc::new([])), Kind::Starting] {
        for payer in [-1, -2, -1_000_000, -1_000_999, ANNA, i64::MIN] {
            let refused = house.call(kind.clone()).hold(hold(payer, "e9")).await.unwrap();
            assert!(matches!(refused, Err(Error::NotGranted(_))), "{payer}: {refused:?}");
        }
    }
    let mut state = house.batch(TOPIC).await;
    let minted = [entry(-1, POINTS, Part::System, -10), entry(pot, POINTS, Part::System, 10)];
    let debited = [entry(pot, GOLD, Part::System, -10), entry(BERT, GOLD, Part::Receiver, 10)];
    let as_user = vec![entry(ANNA, GOLD, Part::Payer, -100), entry(pot, GOLD, Part::Receiver, 100)];
    for entries in [with(fair(), &minted), with(fair(), &debited), as_user] {
        let outcome = post(&mut state, "e1", ANNA, entries).await;
        assert!(outcome.is_err(), "{outcome:?}");
    }
    assert_eq!((house.held_by_anna().await, house.in_pot(pot).await), (100, (0, 0)));
}

#[tokio::test]
async fn the_grant_is_needed_and_a_flood_of_pots_is_stopped() {
    let house = house().await;
    let mut without = profile();
    without.grants.remove(&Grant::Pots);
    let mut state = State::new(Arc::clone(&house.ports), Arc::new(without));
    state.call.kind = Kind::Told;
    assert!(matches!(state.pot("draw".into()).await.unwrap(), Err(Error::NotGranted(_))));
    for name in [String::new(), "x".repeat(129), "a\0b".into()] {
        let refused = house.call(Kind::Told).pot(name).await.unwrap();
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let mut state = house.call(Kind::Told);
    for number in 0..NEW_PER_CALL_MAX {
        state.pot(number.to_string()).await.unwrap().unwrap();
    }
    assert!(matches!(state.pot("one more".into()).await.unwrap(), Err(Error::Overloaded)));
    assert!(state.pot("0".into()).await.unwrap().is_ok(), "what is there is still found");
}
