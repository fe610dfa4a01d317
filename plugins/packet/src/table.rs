//! What outlives the cache: packets with their outcome, and who got which share, written at the close.

use greenroom_sdk::{Amount, Id, Problem, db, read_json};
use serde_json::json;

use crate::definition::{Definition, Outcome, PacketId, Sealed, Share};

use db::Value::{Integer, Text};

/// A packet as it was written down.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) definition: Definition,
    /// None before everything is paid.
    pub(crate) outcome: Option<Outcome>,
}

/// Writes a packet down as it opens.
pub(crate) fn open(sealed: &Sealed) -> Result<(), Problem> {
    let Sealed { definition, secret, pot } = sealed;
    write(
        "open-packet",
        vec![
            id(&definition.packet_id),
            Integer(definition.room_id.get()),
            time(definition.opens_at_ms),
            Integer(*pot),
            Text(json!(definition).to_string()),
            Text(json!(secret).to_string()),
        ],
    )
}

/// Writes down what has become of it.
pub(crate) fn close(packet_id: &PacketId, outcome: &Outcome) -> Result<(), Problem> {
    write("close-packet", vec![id(packet_id), Text(json!(outcome).to_string())])
}

/// Writes down who got what; those that are there stay as they are.
pub(crate) fn put_grabs(packet_id: &PacketId, grabs: &[Share]) -> Result<(), Problem> {
    let step = |grab: &Share| {
        let &Share { number, user_id, amount } = grab;
        step("put-grab", vec![id(packet_id), count(number), Integer(user_id.get()), Integer(amount.get())])
    };
    if !grabs.is_empty() {
        db::transact(&grabs.iter().map(step).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Whether a packet of that id was ever opened.
pub(crate) fn is_known(packet_id: &PacketId) -> Result<bool, Problem> {
    Ok(find(packet_id)?.is_some())
}

/// The packet of that id.
pub(crate) fn find(packet_id: &PacketId) -> Result<Option<Row>, Problem> {
    db::query("packet", &[id(packet_id)])?.first().map(|row| packet(row)).transpose()
}

/// A packet that was opened and has no outcome yet.
pub(crate) fn lost(packet_id: &PacketId) -> Result<Option<Sealed>, Problem> {
    match db::query("lost-packet", &[id(packet_id)])?.first().map(Vec::as_slice) {
        None => Ok(None),
        Some([Text(definition), Text(secret), Integer(pot)]) => {
            Ok(Some(Sealed { definition: json_of(definition)?, secret: json_of(secret)?, pot: *pot }))
        }
        Some(_) => Err(odd()),
    }
}

/// Packets of a room that opened before that one, the last one first.
pub(crate) fn packets(room_id: i64, before: (u64, &str), limit: u32) -> Result<Vec<Row>, Problem> {
    let (opened_at, packet_id) = before;
    let params = [Integer(room_id), time(opened_at), Text(packet_id.into()), count(limit)];
    db::query("packets", &params)?.iter().map(|row| packet(row)).collect()
}

/// Who got the shares before that number, the last one first.
pub(crate) fn grabs(packet_id: &PacketId, before: u32, limit: u32) -> Result<Vec<Share>, Problem> {
    let rows = db::query("grabs", &[id(packet_id), count(before), count(limit)])?;
    rows.iter().map(|row| share(row)).collect()
}

fn packet(row: &[db::Value]) -> Result<Row, Problem> {
    let [Text(definition), Text(outcome)] = row else { return Err(odd()) };
    let outcome = if outcome.is_empty() { None } else { Some(json_of(outcome)?) };
    Ok(Row { definition: json_of(definition)?, outcome })
}

fn share(row: &[db::Value]) -> Result<Share, Problem> {
    let [Integer(number), Integer(user_id), Integer(amount)] = row else { return Err(odd()) };
    let number = u32::try_from(*number).map_err(|_| odd())?;
    Ok(Share { number, user_id: Id::new(*user_id).ok_or_else(odd)?, amount: Amount::new(*amount) })
}

fn write(statement: &str, params: Vec<db::Value>) -> Result<(), Problem> {
    db::transact(&[step(statement, params)])?;
    Ok(())
}

fn step(statement: &str, params: Vec<db::Value>) -> db::Step {
    db::Step { statement: statement.into(), params, expected_rows: None }
}

fn id(packet_id: &PacketId) -> db::Value {
    Text(packet_id.to_string())
}

fn time(at_ms: u64) -> db::Value {
    Integer(i64::try_from(at_ms).unwrap_or(i64::MAX))
}

fn count(value: u32) -> db::Value {
    Integer(i64::from(value))
}

fn json_of<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    read_json(text.as_bytes()).map_err(|e| Problem::failed(format!("table: {e}")))
}

fn odd() -> Problem {
    Problem::failed("table: a column is of another kind")
}
