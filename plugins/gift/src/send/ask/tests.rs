//! What a viewer asks for: how it is read, and which part of it makes two requests the same.

use greenroom_sdk::{Caller, Request, Role};

use super::*;

fn read(body: &str) -> Result<Ask, Problem> {
    let request = Request {
        method: "POST".into(),
        route: "gifts".into(),
        params: Vec::new(),
        query: Vec::new(),
        body: body.into(),
        idempotency_key: None,
        caller: Caller { user_id: 1001, role: Role::Viewer, level: 0 },
        context: 1,
        now_ms: 0,
    };
    request.json::<Ask>()?.checked()
}

#[test]
fn ids_are_read_from_strings_and_numbers_alike() {
    let strings = read(r#"{"eventId":"e1","giftId":"2002","count":1,"toUserIds":["78","77"]}"#).unwrap();
    let numbers = read(r#"{"count":1,"toUserIds":[77,78],"giftId":2002,"eventId":"e1"}"#).unwrap();
    assert_eq!(strings, numbers);
    assert_eq!(strings.content(5), numbers.content(5));
}

#[test]
fn bad_bodies_are_refused_and_the_field_is_named() {
    let long = format!(r#"{{"eventId":"{}","giftId":"1","count":1}}"#, "e".repeat(65));
    let cases = [
        ("", "body"),
        ("[]", "body"),
        (r#"{"eventId":"e","giftId":"1"}"#, "count"),
        (r#"{"eventId":"e","giftId":"1","count":0}"#, "count"),
        (r#"{"eventId":"e","giftId":"1","count":-1}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"1","count":1.5}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"1","count":1.0}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"1","count":"1"}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"1","count":4294967296}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"0","count":1}"#, "id from 1"),
        (r#"{"eventId":"e","giftId":1.5,"count":1}"#, "id from 1"),
        (r#"{"eventId":"","giftId":"1","count":1}"#, "eventId"),
        (r#"{"eventId":"a b","giftId":"1","count":1}"#, "eventId"),
        (long.as_str(), "eventId"),
        (r#"{"eventId":"e","giftId":"1","count":1,"price":1}"#, "price"),
        (r#"{"eventId":"e","giftId":"1","count":1,"toUserIds":[]}"#, "toUserIds"),
        (r#"{"eventId":"e","giftId":"1","count":1,"toUserIds":[77,"77"]}"#, "toUserIds"),
        (r#"{"eventId":"e","giftId":"1","count":1,"comboId":"a|b"}"#, "comboId"),
        (r#"{"eventId":"e","giftId":"1","count":1,"comboEnd":true}"#, "comboEnd"),
        (r#"{"eventId":"e","giftId":"1","count":1,"expectedTotal":1.5}"#, "line 1"),
        (r#"{"eventId":"e","giftId":"1","count":1,"count":2}"#, "duplicate"),
    ];
    for (body, named) in cases {
        let problem = read(body).unwrap_err();
        assert_eq!((problem.status, problem.code), (400, 10006), "{body}");
        assert!(problem.detail.contains(named), "{body}: {}", problem.detail);
    }
}

#[test]
fn whatever_is_asked_for_is_part_of_the_content_but_not_the_expected_price() {
    let plain = r#"{"eventId":"e","giftId":"1","count":1}"#;
    let content = read(plain).unwrap().content(5);
    assert_ne!(read(plain).unwrap().content(6), content);
    for other in [
        r#"{"eventId":"e","giftId":"2","count":1}"#,
        r#"{"eventId":"e","giftId":"1","count":2}"#,
        r#"{"eventId":"e","giftId":"1","count":1,"toUserIds":["77"]}"#,
        r#"{"eventId":"e","giftId":"1","count":1,"comboId":"c"}"#,
        r#"{"eventId":"e","giftId":"1","count":1,"comboId":"c","comboEnd":true}"#,
    ] {
        assert_ne!(read(other).unwrap().content(5), content, "{other}");
    }
    let priced = r#"{"eventId":"e","giftId":"1","count":1,"expectedTotal":"10","comboEnd":false}"#;
    assert_eq!(read(priced).unwrap().content(5), content);
}
