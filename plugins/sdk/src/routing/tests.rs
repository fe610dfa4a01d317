use super::*;
use crate::{Role, describe::Description, route};

#[crate::config]
struct Settings {
    /// How many votes a viewer has.
    #[default(3)]
    #[schemars(range(min = 1, max = 100))]
    quota: u32,
}

#[crate::request]
struct Vote {
    option: Id,
}

#[crate::answer]
struct Voted {
    poll_id: Id,
    votes: i64,
}

#[derive(Debug, crate::Refusal)]
enum No {
    #[refusal(1, 409, "own-poll", "the poll is {user_id}'s own")]
    Own { user_id: i64 },
}

/// Votes in a poll.
///
/// Not part of the summary.
#[route(POST "polls/{pollId}/votes", roles(viewer, streamer), live)]
fn vote(caller: Caller, Path(poll_id): Path<Id>, Now(now_ms): Now, Body(body): Body<Vote>) -> Result<Voted, No> {
    if caller.user_id == 1 {
        return Err(No::Own { user_id: 1 });
    }
    Ok(Voted { poll_id, votes: body.option.get() + now_ms as i64 })
}

/// Forgets all polls.
#[route(DELETE "polls", global)]
fn forget() -> Result<(), Problem> {
    Ok(())
}

fn request(user_id: i64, body: &str) -> Request {
    Request {
        method: "POST".into(),
        route: "polls/{pollId}/votes".into(),
        params: vec![("pollId".into(), "7".into())],
        query: Vec::new(),
        body: body.into(),
        idempotency_key: None,
        caller: Caller { user_id, role: Role::Viewer, level: 0 },
        context: 1,
        now_ms: 100,
    }
}

#[test]
fn the_parts_are_read_and_the_answer_is_written() {
    let asked = request(5, r#"{"option":"9"}"#);
    assert!(is_for::<vote>(&asked) && !is_for::<forget>(&asked));
    let answer = <vote as Endpoint>::handle(&asked).unwrap();
    assert_eq!((answer.status, answer.body), (200, br#"{"pollId":"7","votes":109}"#.to_vec()));
    assert_eq!(<forget as Endpoint>::handle(&asked).unwrap().status, 204);
}

#[test]
fn what_cannot_be_read_and_what_is_refused_are_problems() {
    assert_eq!(<vote as Endpoint>::handle(&request(5, r#"{"option":9,"x":1}"#)).unwrap_err().code, 10006);
    let refused = <vote as Endpoint>::handle(&request(1, r#"{"option":9}"#)).unwrap_err();
    assert_eq!((refused.code, refused.extra.as_str()), (1, r#"{"userId":1}"#));
    let strange = Request { params: vec![("pollId".into(), "x".into())], ..request(5, r#"{"option":9}"#) };
    assert!(<vote as Endpoint>::handle(&strange).unwrap_err().detail.contains("pollId"));
}

#[test]
fn the_manifest_gets_what_the_code_says() {
    let mut description = Description::new::<Settings>();
    description.route(<vote as Endpoint>::describe());
    description.route(<forget as Endpoint>::describe());
    description.refusal::<No>();
    let text = serde_json::to_value(&description).unwrap();
    assert_eq!(
        text["config"],
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": { "quota": {
                "type": "integer", "format": "uint32", "minimum": 1, "maximum": 100, "default": 3,
                "description": "How many votes a viewer has.",
            }},
        })
    );
    let route = &text["routes"][0];
    assert_eq!((&route["method"], &route["live"]), (&"POST".into(), &true.into()));
    assert_eq!(route["roles"], serde_json::json!(["viewer", "streamer"]));
    assert_eq!(route["summary"], "Votes in a poll.");
    assert_eq!(route["request"]["additionalProperties"], false);
    assert_eq!(route["request"]["properties"]["option"]["anyOf"][1]["type"], "string");
    assert_eq!(route["response"]["properties"]["pollId"]["type"], "string");
    let global = &text["routes"][1];
    assert_eq!((&global["scope"], global.get("response")), (&"global".into(), None));
    assert_eq!(text["problems"][0]["slug"], "own-poll");
}
