//! What every queue must do, over `dyn Queue`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use greenroom::ports::queue::{Consumer, Delivery, Offsets, Queue};

use crate::fixture::*;

pub(crate) const WAIT: Duration = Duration::from_secs(10);
pub(crate) const BRIEF: Duration = Duration::from_millis(50);

/// Reads until so many have come.
pub(crate) async fn read(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let some = consumer.poll(count - all.len(), WAIT).await.unwrap();
        assert!(!some.is_empty(), "{} of {count} came", all.len());
        all.extend(some);
    }
    all
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.event.event_id.to_string()).collect()
}

pub(crate) fn after(deliveries: &[Delivery]) -> Offsets {
    let mut offsets = Offsets::new();
    for delivery in deliveries {
        let next = offsets.entry(delivery.partition).or_default();
        *next = (*next).max(delivery.offset + 1);
    }
    offsets
}

pub(crate) async fn events_with_one_key_keep_their_order(queue: &dyn Queue) {
    let topic: Arc<str> = new_name("t").into();
    let mut consumer = queue.subscribe(&new_name("g"), std::slice::from_ref(&topic)).await.unwrap();
    for batch in 0..10 {
        let event = |n: i32| told(&topic, &format!("key{}", n % 7), &format!("{batch}-{n}"));
        queue.publish((0..21).map(event).collect()).await.unwrap();
    }
    let all = read(&mut *consumer, 210).await;
    for key in 0..7 {
        let key = format!("key{key}");
        let of_key: Vec<_> = all.iter().filter(|delivery| *delivery.event.key == *key).cloned().collect();
        let order = |id: &String| id.split('-').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
        assert!(ids(&of_key).iter().map(order).is_sorted());
        assert_eq!(of_key.len(), 30);
        assert!(
            of_key.windows(2).all(|pair| pair[0].offset < pair[1].offset && pair[0].partition == pair[1].partition)
        );
    }
    assert!(consumer.poll(1, BRIEF).await.unwrap().is_empty());
}

pub(crate) async fn groups_are_independent_and_start_at_their_subscription(queue: &dyn Queue) {
    let topic: Arc<str> = new_name("t").into();
    let topics = std::slice::from_ref(&topic);
    let (early, late) = (new_name("g"), new_name("g"));
    let mut first = queue.subscribe(&early, topics).await.unwrap();
    queue.publish(vec![told(&topic, "k", "1")]).await.unwrap();
    let mut second = queue.subscribe(&late, topics).await.unwrap();
    queue.publish(vec![told(&topic, "k", "2"), told("elsewhere", "k", "3")]).await.unwrap();
    assert_eq!(ids(&read(&mut *first, 2).await), ["1", "2"]);
    let read_late = read(&mut *second, 1).await;
    assert_eq!(ids(&read_late), ["2"]);
    assert!(second.poll(9, BRIEF).await.unwrap().is_empty(), "of another topic");
    second.commit(after(&read_late)).await.unwrap();
    let lag = queue.lag().await.unwrap();
    assert_eq!((lag.get(&early), lag.get(&late)), (Some(&2), Some(&0)));
    queue.forget(&early).await.unwrap();
    assert_eq!(queue.lag().await.unwrap().get(&early), None);
}

pub(crate) async fn what_was_not_committed_is_delivered_again(queue: &dyn Queue) {
    let topic: Arc<str> = new_name("t").into();
    let topics = std::slice::from_ref(&topic);
    let group = new_name("g");
    let mut consumer = queue.subscribe(&group, topics).await.unwrap();
    queue.publish((0..5).map(|n| told(&topic, "k", &n.to_string())).collect()).await.unwrap();
    let all = read(&mut *consumer, 5).await;
    consumer.commit(after(&all[..2])).await.unwrap();
    consumer.commit(after(&all[..1])).await.unwrap();
    drop(consumer);
    let mut again = queue.subscribe(&group, topics).await.unwrap();
    assert_eq!(ids(&read(&mut *again, 3).await), ["2", "3", "4"], "an older commit does not go back");
}

pub(crate) async fn a_poll_waits_and_may_be_cancelled(queue: &dyn Queue) {
    let topic: Arc<str> = new_name("t").into();
    let mut consumer = queue.subscribe(&new_name("g"), std::slice::from_ref(&topic)).await.unwrap();
    for round in 0..20 {
        tokio::select! {
            biased;
            polled = consumer.poll(1, WAIT) => panic!("nothing was published: {polled:?}"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        let published = queue.publish(vec![told(&topic, "k", &round.to_string())]);
        let (published, polled) = tokio::join!(published, consumer.poll(5, WAIT));
        published.unwrap();
        assert_eq!(ids(&polled.unwrap()), [round.to_string()]);
    }
}

pub(crate) async fn a_group_may_change_its_topics(queue: &dyn Queue) {
    let (kept, dropped, added): (Arc<str>, Arc<str>, Arc<str>) =
        (new_name("t").into(), new_name("t").into(), new_name("t").into());
    let group = new_name("g");
    drop(queue.subscribe(&group, &[kept.clone(), dropped.clone()]).await.unwrap());
    queue.publish(vec![told(&kept, "k", "1"), told(&dropped, "k", "2"), told(&added, "k", "3")]).await.unwrap();
    let mut consumer = queue.subscribe(&group, &[kept.clone(), added.clone()]).await.unwrap();
    queue.publish(vec![told(&dropped, "k", "4"), told(&added, "k", "5")]).await.unwrap();
    let came: BTreeSet<String> = ids(&read(&mut *consumer, 2).await).into_iter().collect();
    assert_eq!(came, BTreeSet::from(["1".to_owned(), "5".to_owned()]));
    assert!(consumer.poll(1, BRIEF).await.unwrap().is_empty());
    assert_eq!(queue.lag().await.unwrap().get(&group), Some(&2));
}

pub(crate) async fn money_waits_for_the_group_that_its_topic_is_named_after(queue: &dyn Queue) {
    let group = new_name("g");
    let topic: Arc<str> = format!("{group}.sent").into();
    let payer = new_account();
    queue.publish(vec![paid(&topic, payer, "1", 5), paid(&topic, payer, "2", 6)]).await.unwrap();
    let mut mark = queue.mark().await.unwrap();
    assert!(!queue.is_past(&mut mark).await.unwrap());
    let mut consumer = queue.subscribe(&group, std::slice::from_ref(&topic)).await.unwrap();
    let all = read(&mut *consumer, 2).await;
    assert_eq!(ids(&all), ["1", "2"], "what holds money is kept for a group that comes later");
    assert_eq!(all[0].event.held, paid(&topic, payer, "1", 5).held);
    assert_eq!(pending(queue, &topic).await, ["1", "2"]);
    consumer.commit(after(&all[..1])).await.unwrap();
    assert_eq!(pending(queue, &topic).await, ["2"]);
    assert!(!queue.is_past(&mut mark).await.unwrap());
    queue.publish(vec![told(&topic, "k", "3"), paid(&topic, payer, "4", 7)]).await.unwrap();
    consumer.commit(after(&all)).await.unwrap();
    assert_eq!(pending(queue, &topic).await, ["4"]);
    assert!(queue.is_past(&mut mark).await.unwrap(), "what was published after the mark does not matter to it");
}

async fn pending(queue: &dyn Queue, topic: &str) -> Vec<String> {
    let all = queue.pending().await.unwrap();
    all.iter().filter(|event| *event.topic == *topic).map(|event| event.event_id.to_string()).collect()
}

/// A plugin that is removed and comes back. Meanwhile a cache that recovers must find that what was settled is settled.
pub(crate) async fn a_group_that_was_forgotten_keeps_its_money_and_its_place(queue: &dyn Queue) {
    let group = new_name("g");
    let topic: Arc<str> = format!("{group}.sent").into();
    let topics = std::slice::from_ref(&topic);
    let mut consumer = queue.subscribe(&group, topics).await.unwrap();
    queue.publish(vec![paid(&topic, new_account(), "before", 1)]).await.unwrap();
    let before = read(&mut *consumer, 1).await;
    consumer.commit(after(&before)).await.unwrap();
    drop(consumer);
    queue.forget(&group).await.unwrap();
    queue.forget(&group).await.unwrap();
    let mut mark = queue.mark().await.unwrap();
    assert!(queue.is_past(&mut mark).await.unwrap(), "what was committed is settled");
    queue.publish(vec![paid(&topic, new_account(), "meanwhile", 1)]).await.unwrap();
    let mut mark = queue.mark().await.unwrap();
    assert!(!queue.is_past(&mut mark).await.unwrap());
    assert_eq!(pending(queue, &topic).await, ["meanwhile"]);
    let mut again = queue.subscribe(&group, topics).await.unwrap();
    assert_eq!(ids(&read(&mut *again, 1).await), ["meanwhile"]);
}

pub(crate) async fn what_nobody_consumes_and_holds_no_money_keeps_nobody_waiting(queue: &dyn Queue) {
    let topic = new_name("t") + ".told";
    queue.publish(vec![told(&topic, "k", "1")]).await.unwrap();
    let mut mark = queue.mark().await.unwrap();
    assert!(queue.is_past(&mut mark).await.unwrap());
}

/// What a plugin's new version relies on, whose worker goes on while its topics change.
pub(crate) async fn a_consumer_goes_on_with_the_topics_that_its_group_is_given(queue: &dyn Queue) {
    let topics: [Arc<str>; 2] = [new_name("t").into(), new_name("t").into()];
    let group = new_name("g");
    let mut consumer = queue.subscribe(&group, &topics[..1]).await.unwrap();
    queue.publish(vec![told(&topics[0], "k", "before")]).await.unwrap();
    assert_eq!(ids(&read(&mut *consumer, 1).await), ["before"]);
    drop(queue.subscribe(&group, &topics).await.unwrap());
    for topic in &topics {
        queue.publish(vec![told(topic, "k", "e")]).await.unwrap();
        let taken = consumer.poll(10, WAIT).await.unwrap();
        assert_eq!(taken.iter().map(|delivery| &delivery.event.topic).collect::<Vec<_>>(), [topic]);
    }
}

/// Makes a test of each contract for a backend that `$open` opens; its `queue` derefs to a `Queue`.
#[macro_export]
macro_rules! queue_contracts {
    ($open:path) => {
        $crate::queue_contracts!(@each $open;
            events_with_one_key_keep_their_order
            groups_are_independent_and_start_at_their_subscription
            what_was_not_committed_is_delivered_again
            a_poll_waits_and_may_be_cancelled
            a_group_that_was_forgotten_keeps_its_money_and_its_place
            a_group_may_change_its_topics
            money_waits_for_the_group_that_its_topic_is_named_after
            what_nobody_consumes_and_holds_no_money_keeps_nobody_waiting
            a_consumer_goes_on_with_the_topics_that_its_group_is_given
        );
    };
    (@each $open:path; $($contract:ident)*) => {
        $(
            #[tokio::test]
            async fn $contract() {
                let backend = $open().await;
                $crate::queue::$contract(&*backend.queue).await;
            }
        )*
    };
}
