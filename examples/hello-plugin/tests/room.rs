//! The built plugin in a whole room.

use greenroom_testkit::House;
use serde_json::json;

#[tokio::test]
async fn everybody_in_the_room_sees_a_greeting_as_the_room_wants_it() {
    let house = House::open(&["hello"]).await;
    let room = house.room(json!([{ "name": "hello", "config": { "greeting": "Welcome" } }])).await;
    let (anna, bert) = (room.viewer(1001), room.viewer(1002));
    let mut seen = bert.watch().await;
    let said = anna.post("hello", json!(null)).await.ok();
    assert_eq!(said["text"], "Welcome, 1001!");
    assert_eq!(seen.next("hello.said").await, said);
    house.close().await;
}
