//! Free votes: once whatever is repeated or raced, changeable or final, hidden or not.

use futures::future::join_all;
use greenroom_testkit::Role;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_poll_is_opened_voted_in_told_closed_in_time_and_its_result_is_the_recount() {
    let house = house().await;
    let room = room(&house, json!({})).await;
    let mut seen = room.viewer(1).watch().await;
    let weights = json!({ "viewer": 1, "streamer": 5, "operator": 0 });
    let poll = open(&room, json!({ "eventId": "the-first", "weights": weights })).await;
    let opened = seen.next("poll.opened").await;
    assert_eq!((&opened["title"], &opened["votesMax"]), (&json!("Next song?"), &json!(1)));
    // Repeating the event id opens no second poll.
    assert_eq!(open(&room, json!({ "eventId": "the-first", "weights": weights })).await, poll);
    assert_eq!(room.viewer(1).get("polls").await.ok()["polls"].as_array().unwrap().len(), 1);

    let (anna, bert, votes) = (room.viewer(1001), room.viewer(1002), format!("{poll}/votes"));
    let same = join_all((0..10).map(|_| anna.post(&votes, ask("e1", &[2])))).await;
    let answers: Vec<Value> = same.into_iter().map(|answer| answer.ok()).collect();
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["state"] == "counted" && answer["votesLeft"] == 0), "{answers:?}");
    vote(&bert, &poll, &[1]).await;
    assert_eq!(vote(&room.streamer(), &poll, &[2]).await["given"], json!([{ "option": 2, "votes": 1, "points": 5 }]));
    let _ = room.operator().post(&format!("{poll}/votes"), ask("e1", &[1])).await.refused(403, "no-vote");

    house.clock.advance(TALLY_EVERY);
    let told = seen.next("poll.tally").await;
    assert_eq!((points(&told), &told["voters"], &told["state"]), (vec![1, 6, 0], &json!(3), &json!("open")));
    assert_eq!(room.viewer(1).get(&poll).await.ok()["standing"], told);
    let own = bert.get(&format!("{poll}/votes")).await.ok();
    assert_eq!((&own["given"][0]["option"], &own["votesLeft"]), (&json!(1), &json!(0)));

    let _ = room.operator().post(&format!("{poll}/recount"), Value::Null).await.refused(409, "poll-not-closed");
    house.clock.advance(CLOSES_IN);
    let closed = seen.next("poll.closed").await;
    assert_eq!((points(&closed), &closed["voters"], &closed["state"]), (vec![1, 6, 0], &json!(3), &json!("closed")));
    assert_eq!(room.viewer(1).get(&poll).await.ok()["standing"], closed);
    assert_eq!(room.viewer(1).get("poll-results").await.ok()["items"][0]["standing"], closed);
    let recount = recounted(&room, &poll).await;
    assert_eq!((&recount["voters"], &recount["options"]), (&closed["voters"], &closed["sums"]));
    // What was answered stays answered; nothing new is taken.
    assert_eq!(anna.post(&format!("{poll}/votes"), ask("e1", &[2])).await.ok()["replayed"], true);
    let _ = room.viewer(1003).post(&format!("{poll}/votes"), ask("e1", &[2])).await.refused(409, "poll-closed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_in_the_middle_loses_no_vote_and_the_poll_ends_all_the_same() {
    let house = house().await;
    let before = room(&house, json!({})).await;
    let (poll, room_id) = (open(&before, json!({})).await, before.room_id);
    for user_id in 1001..1011 {
        vote(&before.viewer(user_id), &poll, &[1]).await;
    }
    let house = house.restart().await;
    let room = house.known_room(room_id);
    let mut seen = room.viewer(1).watch().await;
    let _ = room.viewer(1001).post(&format!("{poll}/votes"), ask("again", &[2])).await.refused(409, "single-choice");
    vote(&room.viewer(1011), &poll, &[3]).await;
    let house = {
        house.clock.advance(CLOSES_IN);
        let closed = seen.next("poll.closed").await;
        assert_eq!((points(&closed), &closed["voters"]), (vec![10, 0, 1], &json!(11)));
        recounted(&room, &poll).await;
        house.restart().await
    };
    let room = house.known_room(room_id);
    assert_eq!(points(&room.viewer(1).get(&poll).await.ok()["standing"]), [10, 0, 1]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hidden_sums_are_told_nobody_before_the_end_and_votes_can_be_changed_until_then() {
    let house = house().await;
    let room = room(&house, json!({})).await;
    let mut seen = room.viewer(1).watch().await;
    let poll = open(&room, json!({ "choice": "multiple", "votesMax": 2, "changeable": true, "hidden": true })).await;
    let (anna, bert) = (room.viewer(1001), room.viewer(1002));
    vote(&anna, &poll, &[1, 2]).await;
    vote(&bert, &poll, &[1]).await;
    let votes = format!("{poll}/votes");
    let changed = anna.put(&votes, ask("change", &[3])).await.ok();
    assert_eq!(
        (&changed["given"], &changed["votesLeft"]),
        (&json!([{ "option": 3, "votes": 1, "points": 1 }]), &json!(1))
    );
    assert_eq!(anna.put(&votes, ask("change", &[3])).await.ok()["replayed"], true);
    let _ = anna.put(&votes, ask("change", &[2])).await.refused(422, "event-id-reused");
    let _ = anna.put(&votes, ask("all", &[1, 2, 3])).await.refused(409, "quota-reached");
    // Taken back: not a voter any more.
    assert_eq!(bert.put(&votes, ask("back", &[])).await.ok()["given"], json!([]));
    house.clock.advance(TALLY_EVERY);
    let told = seen.next("poll.tally").await;
    assert_eq!((told.get("sums"), &told["voters"]), (None, &json!(1)), "{told}");
    for visitor in [room.viewer(1), room.streamer(), room.operator()] {
        for path in ["polls".to_owned(), poll.clone()] {
            let answer = visitor.get(&path).await.ok();
            assert!(!answer.to_string().contains("sums"), "{answer}");
        }
        let _ = visitor.get("poll-results").await.ok();
    }
    let _ = room.viewer(1001).post(&format!("{poll}/close"), Value::Null).await.refused(403, "forbidden");
    let shown = room.streamer().post(&format!("{poll}/close"), Value::Null).await.ok();
    assert_ne!(shown["standing"]["state"], "open");
    let closed = seen.next("poll.closed").await;
    assert_eq!((points(&closed), &closed["voters"], &closed["closedBy"]), (vec![0, 0, 1], &json!(1), &json!("77")));
    let _ = anna.put(&votes, ask("late", &[1])).await.refused(409, "poll-closed");
    assert_eq!(recounted(&room, &poll).await["options"], closed["sums"]);
    // Closing again, or at the time, changes nothing.
    assert_eq!(room.streamer().post(&format!("{poll}/close"), Value::Null).await.ok()["standing"], closed);
    house.clock.advance(CLOSES_IN);
    assert_eq!(room.viewer(1).get(&poll).await.ok()["standing"], closed);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cheating_is_refused_and_counts_nothing() {
    let house = house().await;
    let (room, other) = (room(&house, json!({ "openMax": 1 })).await, super::room(&house, json!({})).await);
    let poll = open(&room, json!({ "choice": "multiple", "votesMax": 3, "votesPerOptionMax": 2 })).await;
    let (anna, votes) = (room.viewer(1001), format!("{poll}/votes"));
    let choices = |choices: Value| json!({ "eventId": event_id(), "choices": choices });
    for bad in [
        json!([]),
        json!([{ "option": 0 }]),
        json!([{ "option": 4 }]),
        json!([{ "option": -1 }]),
        json!([{ "option": 1, "votes": 0 }]),
        json!([{ "option": 1, "votes": -1 }]),
        json!([{ "option": 1, "votes": 1_001 }]),
        json!([{ "option": 1, "votes": 9_223_372_036_854_775_807_i64 }]),
        json!([{ "option": 1, "votes": 1.5 }]),
        json!([{ "option": 1 }, { "option": 1 }]),
        json!([{ "option": 1, "weight": 50 }]),
    ] {
        let _ = anna.post(&votes, choices(bad)).await.refused(400, "invalid-request");
    }
    // Another's id, and a time of one's own, are no fields.
    for forged in [json!({ "userId": "1002" }), json!({ "nowMs": 0 }), json!({ "role": "operator" })] {
        let mut asked = ask(&event_id(), &[1]);
        asked.as_object_mut().unwrap().extend(forged.as_object().unwrap().clone());
        let _ = anna.post(&votes, asked).await.refused(400, "invalid-request");
    }
    let _ = anna.post(&votes, choices(json!([{ "option": 1, "votes": 3 }]))).await.refused(409, "option-quota-reached");
    let _ = anna.post(&votes, choices(json!([{ "option": 1, "votes": 4 }]))).await.refused(409, "quota-reached");
    // Ten at once for two votes of an option and three in all.
    let at_once = join_all((0..10).map(|_| anna.post(&votes, ask(&event_id(), &[1])))).await;
    assert_eq!(at_once.iter().filter(|answer| answer.status == 200).count(), 2);
    let at_once = join_all((0..10).map(|n| anna.post(&votes, ask(&format!("n{n}"), &[2 + n % 2])))).await;
    assert_eq!(at_once.iter().filter(|answer| answer.status == 200).count(), 1);
    let _ = anna.put(&votes, ask("change", &[3])).await.refused(409, "votes-final");
    let _ = room.somebody(3, Role::Service).post(&votes, ask("e", &[1])).await.refused(403, "forbidden");
    // Polls of one room are not there in another, and viewers open and close none.
    let _ = other.viewer(1001).post(&votes, ask("e", &[1])).await.refused(404, "poll-not-found");
    let _ = other.viewer(1001).get(&poll).await.refused(404, "poll-not-found");
    let new = json!({ "eventId": "n", "title": "Mine", "options": ["A", "B"], "closesInS": 15 });
    let _ = anna.post("polls", new.clone()).await.refused(403, "forbidden");
    let _ = room.streamer().post("polls", new).await.refused(409, "too-many-polls");
    let _ = anna.post(&format!("{poll}/recount"), Value::Null).await.refused(403, "forbidden");
    let mut seen = room.viewer(1).watch().await;
    house.clock.advance(CLOSES_IN);
    // The time is the host's: at the very end it is over, whether the poll has been closed already or not.
    let _ = room.viewer(1002).post(&votes, ask("late", &[1])).await.refused(409, "poll-closed");
    assert_eq!(seen.next("poll.closed").await["voters"], 1);
    assert_eq!(recounted(&room, &poll).await["voters"], 1);
    house.close().await;
}
