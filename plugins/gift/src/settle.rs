//! The consumer: step 8 of the way of a gift. Turns each event into balanced books and posts the batch in one call.
//!
//! A batch may come again, whole or in other portions: the ledger writes each event once. What is written now also counts in
//! the rankings.

use greenroom_sdk::{Amount, Message, Verdict, ledger};

use crate::payload::Payload;
use crate::ranking::{self, Contribution};
use crate::rules;

/// Where recharged value and points come from; a system account of the host.
const MINT: i64 = -1;
/// Where the platform's share goes; a system account of the host.
const PLATFORM: i64 = -2;
/// The asset type of a viewer's points.
const POINTS: u32 = 3;
/// Live streaming, in the ledger's numbering.
const BIZ_LIVE: u32 = 1;
/// How long the host waits before it brings a batch again whose books could not be written.
const RETRY_MS: u32 = 500;

/// One verdict for each message.
pub(crate) fn settle(batch: Vec<Message>) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(batch.len());
    let mut postings = Vec::with_capacity(batch.len());
    let mut contributions: Vec<Contribution> = Vec::with_capacity(batch.len());
    for (index, message) in batch.into_iter().enumerate() {
        match books(message, index) {
            Ok((posting, contribution)) => {
                verdicts.push(Verdict::Ack);
                postings.push(posting);
                contributions.push(contribution);
            }
            Err(reason) => verdicts.push(Verdict::Reject(reason)),
        }
    }
    if postings.is_empty() {
        return verdicts;
    }
    let outcomes = match ledger::post(&postings) {
        Ok(outcomes) if outcomes.len() == postings.len() => outcomes,
        _ => {
            for contribution in &contributions {
                set(&mut verdicts, contribution.index, Verdict::RetryAfter(RETRY_MS));
            }
            return verdicts;
        }
    };
    let mut counted = Vec::with_capacity(contributions.len());
    for (contribution, outcome) in contributions.into_iter().zip(outcomes) {
        match outcome {
            ledger::PostOutcome::Posted => counted.push(contribution),
            ledger::PostOutcome::Duplicate => counted.push(Contribution { is_repeated: true, ..contribution }),
            ledger::PostOutcome::Voided => {}
            ledger::PostOutcome::Refused(reason) => set(&mut verdicts, contribution.index, Verdict::Reject(reason)),
        }
    }
    for index in ranking::count(&counted) {
        set(&mut verdicts, index, Verdict::RetryAfter(RETRY_MS));
    }
    verdicts
}

fn set(verdicts: &mut [Verdict], index: usize, verdict: Verdict) {
    if let Some(place) = verdicts.get_mut(index) {
        *place = verdict;
    }
}

/// The books of one event, and what it adds to the rankings.
fn books(message: Message, index: usize) -> Result<(ledger::Posting, Contribution), String> {
    let Message { event_id, payer, room_id, at_ms, held, payload, partition, attempt, .. } = message;
    let held = held.ok_or("the event holds nothing")?;
    let record_json = String::from_utf8(payload).map_err(|e| format!("payload: {e}"))?;
    let payload: Payload = serde_json::from_str(&record_json).map_err(|e| format!("payload: {e}"))?;
    let entries = entries(payer, held.asset_type, held.amount, &payload)?;
    let contribution = Contribution {
        index,
        attempt,
        partition,
        room_id,
        user_id: payer,
        asset_type: held.asset_type,
        amount: held.amount,
        stream_id: payload.stream_id.as_ref().into(),
        at_ms,
        fingerprint: ranking::fingerprint(payer, &event_id),
        is_repeated: false,
    };
    let obj_id = payload.gift_id.to_string();
    let posting = ledger::Posting {
        event_id,
        payer,
        entries,
        biz_id: room_id.to_string(),
        biz_type: BIZ_LIVE,
        obj_id,
        event_type: "interactGift".into(),
        record_json,
    };
    Ok((posting, contribution))
}

/// Balanced entries: the payer's, the receivers', the platform's, and the viewer's points against the mint.
fn entries(payer: i64, asset_type: u32, held: i64, payload: &Payload) -> Result<Vec<ledger::Entry>, String> {
    let unit = Amount::new(payload.unit);
    let receivers = payload.receivers.len();
    let shares = rules::share(unit, payload.count, receivers, payload.share_bps, payload.points_rate)
        .map_err(|e| format!("shares: {e}"))?;
    if shares.total.get() != held || held <= 0 {
        return Err(format!("{held} is held, but the gift costs {}", shares.total));
    }
    let mut entries = Vec::with_capacity(receivers + 4);
    let mut add = |user_id: i64, asset_type: u32, part: ledger::Part, delta: Amount| {
        if delta != Amount::ZERO {
            let account = ledger::Account { user_id, asset_type };
            entries.push(ledger::Entry { account, part, delta: delta.get() });
        }
    };
    let negated = |amount: Amount| amount.negated().map_err(|e| e.to_string());
    add(payer, asset_type, ledger::Part::Payer, negated(shares.total)?);
    for receiver in &payload.receivers {
        add(*receiver, asset_type, ledger::Part::Receiver, shares.to_receiver);
    }
    add(PLATFORM, asset_type, ledger::Part::System, shares.to_platform);
    // Points spent earn no points; it would also be a second entry of one account in one part.
    if asset_type != POINTS {
        add(payer, POINTS, ledger::Part::Receiver, shares.points);
        add(MINT, POINTS, ledger::Part::System, negated(shares.points)?);
    }
    Ok(entries)
}
