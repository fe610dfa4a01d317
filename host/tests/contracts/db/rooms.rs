//! Rooms, streams, bindings and their audit.

use greenroom::domain::{RoomId, StreamId, UserId};
use greenroom::ports::db::{AuditEntry, BindingRow, RoomRow, Rooms, StreamRow};
use serde_json::json;

fn room(id: i64) -> RoomRow {
    RoomRow {
        room_id: RoomId(id),
        title: "Tea at five".into(),
        streamers: vec![UserId(7), UserId(8)],
        created_at_ms: 5,
        stream: None,
        version: 1,
    }
}

fn audit(id: i64, action: &str) -> AuditEntry {
    let (from, to) = (json!(null), json!({ "action": action }));
    AuditEntry { id: 0, room_id: RoomId(id), at_ms: 6, by: UserId(1), action: action.into(), from, to }
}

fn binding(plugin: &str, version: &str, enabled: bool) -> BindingRow {
    let (plugin, version) = (plugin.into(), version.parse().unwrap());
    BindingRow { plugin, version, enabled, config: json!({ "share": 50 }), canary: None }
}

fn stream(id: &str) -> StreamRow {
    StreamRow { stream_id: StreamId(id.into()), started_at_ms: 9 }
}

pub async fn a_room_is_made_once_and_read_back(db: &dyn Rooms) {
    assert!(db.create(&room(1), &audit(1, "room.created")).await.unwrap());
    assert!(!db.create(&RoomRow { title: "Other".into(), ..room(1) }, &audit(1, "room.created")).await.unwrap());
    assert_eq!(db.room(RoomId(1)).await.unwrap(), Some((room(1), vec![])));
    assert_eq!(db.room(RoomId(2)).await.unwrap(), None);
    let entries = db.audit(RoomId(1), None, 10).await.unwrap();
    assert_eq!(entries, [AuditEntry { id: entries[0].id, ..audit(1, "room.created") }]);
}

pub async fn only_one_of_two_changes_at_once_wins(db: &dyn Rooms) {
    db.create(&room(1), &audit(1, "room.created")).await.unwrap();
    for version in 1..20 {
        let one = [binding("gift", "1.0.0", true)];
        let two = [binding("voting", "1.0.0", true)];
        let (by_one, by_two) = (audit(1, "one"), audit(1, "two"));
        let (first, second) = tokio::join!(
            db.change(RoomId(1), version, None, &one, &by_one),
            db.change(RoomId(1), version, None, &two, &by_two),
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first != second, "exactly one wins");
        let (row, bindings) = db.room(RoomId(1)).await.unwrap().unwrap();
        assert_eq!(row.version, version + 1);
        assert_eq!(bindings, if first { one } else { two });
        let newest = &db.audit(RoomId(1), None, 1).await.unwrap()[0];
        assert_eq!(newest.action, if first { "one" } else { "two" });
    }
    assert_eq!(db.audit(RoomId(1), None, 100).await.unwrap().len(), 20);
    assert!(!db.change(RoomId(9), 1, None, &[], &audit(9, "x")).await.unwrap());
}

pub async fn a_change_replaces_stream_and_bindings(db: &dyn Rooms) {
    db.create(&room(1), &audit(1, "room.created")).await.unwrap();
    let canary = BindingRow { canary: Some(("1.1.0".parse().unwrap(), 5)), ..binding("gift", "1.0.0", true) };
    let bindings = [canary, binding("voting", "2.0.0-rc.1", false)];
    assert!(db.change(RoomId(1), 1, Some(&stream("s1")), &bindings, &audit(1, "stream.started")).await.unwrap());
    let expected = RoomRow { stream: Some(stream("s1")), version: 2, ..room(1) };
    assert_eq!(db.room(RoomId(1)).await.unwrap(), Some((expected, bindings.to_vec())));
    assert!(db.change(RoomId(1), 2, None, &bindings[1..], &audit(1, "stream.ended")).await.unwrap());
    let expected = RoomRow { version: 3, ..room(1) };
    assert_eq!(db.room(RoomId(1)).await.unwrap(), Some((expected, bindings[1..].to_vec())));
}

pub async fn live_rooms_are_those_with_a_stream_or_an_enabled_binding(db: &dyn Rooms) {
    for id in 1..=5 {
        db.create(&room(id), &audit(id, "room.created")).await.unwrap();
    }
    let enabled = [binding("gift", "1.0.0", true), binding("voting", "1.0.0", false)];
    let disabled = [binding("gift", "1.0.0", false)];
    db.change(RoomId(2), 1, None, &enabled, &audit(2, "x")).await.unwrap();
    db.change(RoomId(3), 1, None, &disabled, &audit(3, "x")).await.unwrap();
    db.change(RoomId(4), 1, Some(&stream("s4")), &disabled, &audit(4, "x")).await.unwrap();
    db.change(RoomId(5), 1, Some(&stream("s5")), &[], &audit(5, "x")).await.unwrap();
    let live = db.live().await.unwrap();
    let ids: Vec<_> = live.iter().map(|(room, bindings)| (room.room_id.0, bindings.clone())).collect();
    assert_eq!(ids, [(2, enabled.to_vec()), (4, disabled.to_vec()), (5, vec![])]);
}

pub async fn a_version_is_bound_by_its_share_too(db: &dyn Rooms) {
    db.create(&room(1), &audit(1, "room.created")).await.unwrap();
    let canary = BindingRow { canary: Some(("1.1.0".parse().unwrap(), 5)), ..binding("gift", "1.0.0", false) };
    db.change(RoomId(1), 1, None, &[canary], &audit(1, "x")).await.unwrap();
    for (plugin, version, bound) in
        [("gift", "1.0.0", true), ("gift", "1.1.0", true), ("gift", "1.2.0", false), ("voting", "1.0.0", false)]
    {
        assert_eq!(db.bound(plugin, &version.parse().unwrap()).await.unwrap(), bound, "{plugin} {version}");
    }
}

pub async fn rooms_and_audits_are_paged(db: &dyn Rooms) {
    for id in 1..=5 {
        db.create(&room(id), &audit(id, "room.created")).await.unwrap();
    }
    let ids = |rooms: Vec<RoomRow>| rooms.iter().map(|room| room.room_id.0).collect::<Vec<_>>();
    assert_eq!(ids(db.rooms(None, 2).await.unwrap()), [1, 2]);
    assert_eq!(ids(db.rooms(Some(RoomId(2)), 9).await.unwrap()), [3, 4, 5]);
    for version in 1..4 {
        db.change(RoomId(1), version, None, &[], &audit(1, &format!("change {version}"))).await.unwrap();
    }
    let first = db.audit(RoomId(1), None, 2).await.unwrap();
    let rest = db.audit(RoomId(1), Some(first[1].id), 9).await.unwrap();
    let actions: Vec<_> = first.iter().chain(&rest).map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["change 3", "change 2", "change 1", "room.created"]);
}
