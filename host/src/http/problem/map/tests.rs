//! Every variant of every module's error, against the documented table.

use super::*;
use crate::domain::{Account, Amount, AssetType, EventId, RoomId, UserId};
use crate::plugin::{ConfigFault, Rejected};

fn written(problem: impl Into<Problem>) -> (u16, u32, Option<u64>) {
    let problem = problem.into();
    (problem.status().as_u16(), problem.code(), problem.0.retry_after.map(|after| after.as_secs()))
}

#[test]
fn every_fault_of_the_ledger_has_its_line_in_the_table() {
    use ledger::Error as E;
    let account = Account { user_id: UserId(1), asset_type: AssetType(1) };
    let table = [
        (E::Insufficient { balance: Amount(1), needed: Amount(2) }, (402, 20001, None)),
        (E::NoAccount(account), (404, 20002, None)),
        (E::Reused(EventId::new("e").unwrap()), (422, 20003, None)),
        (E::Loading, (503, 20004, Some(1))),
        (E::Full("the outbox"), (503, 40004, Some(1))),
        (E::Unavailable("x".into()), (503, 30002, Some(2))),
        (E::Unsettled(EventId::new("e").unwrap()), (503, 30002, Some(2))),
        (E::Voided(EventId::new("e").unwrap()), (409, 20005, None)),
        (E::Invalid("x".into()), (400, 10006, None)),
        (E::LimitReached(0), (400, 10006, None)),
    ];
    for (error, expected) in table {
        assert_eq!(written(error.clone()), expected, "{error:?}");
    }
}

#[test]
fn every_fault_of_a_plugin_has_its_line_in_the_table() {
    use plugin::Error as E;
    let plugin = || "gift".to_owned();
    let table = [
        (E::Failed { plugin: plugin(), reason: "trap".into() }, (502, 40001, None)),
        (E::Timeout { plugin: plugin(), limit: SOON }, (504, 40002, None)),
        (E::Suspended { plugin: plugin(), retry_after: Duration::from_secs(9) }, (503, 40003, Some(9))),
        (E::Overloaded { plugin: plugin() }, (503, 40004, Some(1))),
        (E::NotDurable("x".into()), (503, 30002, Some(2))),
        (E::NotTellable(ledger::Error::Unsettled(EventId::new("e").unwrap())), (503, 30002, Some(2))),
        (E::NoExport { plugin: plugin(), export: "api" }, (502, 40001, None)),
    ];
    for (error, expected) in table {
        assert_eq!(written(error.clone()), expected, "{error:?}");
    }
}

#[test]
fn every_fault_of_a_room_has_its_line_in_the_table() {
    use room::Error as E;
    let room = RoomId(7);
    let fault = ConfigFault { pointer: "/a".into(), fault: "no".into() };
    let table = [
        (E::RoomNotFound(room), (404, 10001, None)),
        (E::RoomExists(room), (409, 10014, None)),
        (E::NotLive(room), (409, 10002, None)),
        (E::AlreadyLive(room), (409, 10015, None)),
        (E::PluginNotEnabled { room, what: "gift".into() }, (404, 10003, None)),
        (E::PluginNotInstalled("gift".into()), (404, 40008, None)),
        (E::RouteTaken("a".into(), "b".into(), "c".into()), (409, 40010, None)),
        (E::Config { plugin: "gift".into(), fault }, (422, 40005, None)),
        (E::Refused { plugin: "gift".into(), reason: "no".into() }, (409, 40011, None)),
        (E::Plugin(plugin::Error::Overloaded { plugin: "gift".into() }), (503, 40004, Some(1))),
        (E::Invalid { field: "title".into(), fault: "empty".into() }, (400, 10006, None)),
        (E::Raced(room), (409, 10016, Some(1))),
        (E::Db(db::Error::Unavailable("x".into())), (503, 30002, Some(2))),
        (E::Db(db::Error::Refused("x".into())), (500, 100_002, None)),
    ];
    for (error, expected) in table {
        let name = format!("{error:?}");
        assert_eq!(written(error), expected, "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_component_is_named() {
    use plugin::InstallError as E;
    let rejected = Rejected { subject: "grant ledger".into(), fault: "missing".into() };
    let taken = E::VersionTaken { name: "gift".into(), version: semver::Version::new(1, 0, 0) };
    let problem = Problem::from(E::Rejected(rejected));
    assert_eq!(problem.0.extra, Some(json!({ "subject": "grant ledger", "fault": "missing" })));
    assert_eq!(written(problem), (422, 40006, None));
    assert_eq!(written(taken), (409, 40009, None));
    assert_eq!(written(E::Unavailable("x".into())), (503, 30002, Some(2)));
    assert_eq!(written(push::Full("rooms")), (503, 30001, Some(2)));
}

#[test]
fn a_plugins_problem_passes_through_and_cannot_claim_success() {
    let problem = |status, slug: &str| plugin::Problem {
        status,
        code: 50_001,
        slug: slug.into(),
        detail: "sold out".into(),
        extra: None,
        retry_after: None,
    };
    let passed = Problem::from(problem(409, "sold-out"));
    assert_eq!((passed.status().as_u16(), passed.code(), &*passed.0.slug), (409, 50_001, "sold-out"));
    assert_eq!(Problem::from(problem(200, "sold-out")).status(), 502);
    assert_eq!(Problem::from(problem(409, "../x y")).0.slug, "plugin-refused");
}

#[test]
fn causes_of_faults_are_not_told_to_clients() {
    for problem in
        [Problem::from(db::Error::Unavailable("10.0.0.3".into())), db::Error::Refused("10.0.0.3".into()).into()]
    {
        assert!(!problem.detail().contains("10.0.0.3"), "{}", problem.detail());
    }
}
