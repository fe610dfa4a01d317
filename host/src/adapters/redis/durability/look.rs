//! Looking for steps where they must have left something.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use redis::Value;

use super::super::event::entry_id;
use super::super::reply::Reply;
use super::super::scripts::{Call, TRACE};
use super::replicas::Replicas;
use super::waiting::End;
use super::{Bucket, Durability, Group, Step, Steps};

/// Steps of one bucket that one script looks for.
const LOOKED_FOR_MAX: usize = 500;

/// Open steps of a bucket, by their tickets, and the keys of the script that looks for them.
struct Sought<'a> {
    bucket: &'a Bucket,
    steps: Vec<(u64, Step)>,
    names: Vec<String>,
}

impl Steps {
    /// Looks once for the oldest open steps of a group and closes those that are safe or lost.
    pub(super) async fn look(&self, group: &Group) -> Result<(), String> {
        let sought: Vec<Sought> = group.buckets.iter().filter_map(|number| self.seek(*number)).collect();
        if sought.is_empty() {
            return Ok(());
        }
        let answers = if let Some(replicas) = self.replicas {
            match self.replicated(&sought, replicas).await {
                Ok(answers) => answers,
                // Another wait would be as long and in vain. Who asks again begins one.
                Err(reason) => {
                    sought.iter().for_each(|sought| sought.fail(&reason));
                    return Ok(());
                }
            }
        } else {
            let look = |sought: &Sought| {
                self.server.run(Call::new(&TRACE, &sought.names.iter().map(String::as_str).collect::<Vec<_>>()))
            };
            try_join_all(sought.iter().map(look)).await?
        };
        for (sought, answer) in sought.iter().zip(answers) {
            self.close(sought, answer)?;
        }
        Ok(())
    }

    fn seek(&self, number: u32) -> Option<Sought<'_>> {
        let bucket = self.bucket(number)?;
        let steps = bucket.waiting.lock().first(LOOKED_FOR_MAX);
        if steps.is_empty() {
            return None;
        }
        let keys = self.keys.of_bucket(number);
        let traces = steps.iter().filter_map(|(_, step)| step.trace.clone());
        let names = [keys.marker(), keys.outbox()].into_iter().chain(traces).collect();
        Some(Sought { bucket, steps, names })
    }

    /// Closes those steps that are safe or lost, by what the script has found: the first entry that waits, and for each step with a trace
    /// whether that is there.
    fn close(&self, sought: &Sought, answer: Value) -> Result<(), String> {
        let mut answer = Reply::new(answer)?;
        let first = answer.text()?;
        let first = if first.is_empty() { None } else { Some(entry_id(&first)?) };
        let mut there = answer.rest().map(|there| there == Value::Int(1));
        let is_taken = |step: &Step| match (&first, &step.entry) {
            (Some(first), Some(entry)) => entry < first,
            _ => true,
        };
        let mut waiting = sought.bucket.waiting.lock();
        for (ticket, step) in &sought.steps {
            let is_lost = match step.trace {
                Some(_) => !there.next().ok_or("an answer is too short")?,
                None => false,
            };
            if is_lost || self.durability != Durability::Queued || is_taken(step) {
                waiting.close(*ticket, if is_lost { Some(End::Lost) } else { None });
            }
        }
        drop(waiting);
        sought.bucket.closed.notify_waiters();
        Ok(())
    }

    /// Looks for steps of buckets that are on one node, and waits for its replicas. The scripts write, so waiting on the same
    /// connection is waiting for everything before them, whoever wrote it.
    async fn replicated(&self, sought: &[Sought<'_>], replicas: Replicas) -> Result<Vec<Value>, String> {
        let mut pipeline = redis::pipe();
        for Sought { names, .. } in sought {
            pipeline.cmd("EVAL").arg(TRACE.text).arg(names.len()).arg(names);
        }
        replicas.push_to(&mut pipeline);
        let key = sought.first().and_then(|sought| sought.names.first()).map(String::as_str).unwrap_or_default();
        let limit = replicas.timeout() + Duration::from_secs(1);
        let answered = self.server.ask_node(pipeline, key, limit).await;
        let is_refused = |answers: &Vec<Value>| answers.iter().any(|answer| matches!(answer, Value::ServerError(_)));
        if answered.as_ref().map_or(true, is_refused) {
            // A bucket may have moved to another node: who asks again finds it there.
            self.regroup().await?;
        }
        let mut answers = answered?;
        replicas.check(answers.pop())?;
        Ok(answers)
    }
}

impl Sought<'_> {
    /// Whether they are safe is not known.
    fn fail(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        let mut waiting = self.bucket.waiting.lock();
        for (ticket, _) in &self.steps {
            waiting.close(*ticket, Some(End::Unknown(Arc::clone(&reason))));
        }
        drop(waiting);
        self.bucket.closed.notify_waiters();
    }
}
