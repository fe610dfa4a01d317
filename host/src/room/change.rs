//! Changing a room: a new snapshot is checked, told to the plugins, written, and swapped in.
//!
//! Occasions are told before the change is written, so that a plugin can refuse; one that was told of a change that then could not be
//! written is told again when the change is made anew.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{BindingChange, BindingView, Error, PluginChoice, RoomView, Rooms, turn_of, user_ids};
use crate::domain::{RoomId, StreamId, UserId};
use crate::plugin::Occasion;
use crate::ports::db::{self, AuditEntry, BindingRow, RoomRow, StreamRow};
use crate::room::route::overlap;
use crate::room::snapshot::Snapshot;

/// Plugins that one room may have.
const BINDINGS_MAX: usize = 64;

impl Rooms {
    /// Starts a stream with its plugins, all or nothing. Plugins that were enabled and are not named stay enabled.
    ///
    /// # Errors
    /// See [`Error`]; nothing has changed then.
    pub async fn start_stream(&self, by: UserId, room: RoomId, plugins: Vec<PluginChoice>) -> Result<RoomView, Error> {
        let _turn = self.turn(room).await;
        let before = self.snapshot(room).await?;
        if before.info.stream.is_some() {
            return Err(Error::AlreadyLive(room));
        }
        let mut rows = before.rows();
        let mut named = Vec::new();
        for choice in plugins {
            if named.contains(&choice.name) {
                let fault = format!("plugin {} is there twice", choice.name);
                return Err(Error::Invalid { field: "plugins".into(), fault });
            }
            named.push(choice.name.clone());
            let change = BindingChange { enabled: true, version: choice.version, config: choice.config, canary: None };
            self.apply(&mut rows, &choice.name, change)?;
        }
        let stream_id = StreamId(uuid::Uuid::now_v7().to_string().into());
        let stream = StreamRow { stream_id, started_at_ms: self.clock.now_ms() };
        let after = self.change(by, "stream.started", &before, Some(stream), rows).await?;
        Ok(RoomView { info: after.info.clone(), created_at_ms: after.created_at_ms })
    }

    /// Ends the live stream; its plugins stay enabled.
    ///
    /// # Errors
    /// `RoomNotFound`, `NotLive`, `Raced`, or the database.
    pub async fn end_stream(&self, by: UserId, room: RoomId) -> Result<RoomView, Error> {
        let _turn = self.turn(room).await;
        let before = self.snapshot(room).await?;
        if before.info.stream.is_none() {
            return Err(Error::NotLive(room));
        }
        let after = self.change(by, "stream.ended", &before, None, before.rows()).await?;
        Ok(RoomView { info: after.info.clone(), created_at_ms: after.created_at_ms })
    }

    /// Toggles, re-configures, upgrades or rolls back a plugin while the room is live.
    ///
    /// # Errors
    /// See [`Error`]; nothing has changed then.
    pub async fn change_binding(
        &self,
        by: UserId,
        room: RoomId,
        plugin: &str,
        change: BindingChange,
    ) -> Result<BindingView, Error> {
        let _turn = self.turn(room).await;
        let before = self.snapshot(room).await?;
        let mut rows = before.rows();
        self.apply(&mut rows, plugin, change)?;
        let stream = before.info.stream.as_ref();
        let stream = stream.map(|s| StreamRow { stream_id: s.stream_id.clone(), started_at_ms: s.started_at_ms });
        let after = self.change(by, "plugin.changed", &before, stream, rows).await?;
        after.binding(plugin).map(BindingView::of).ok_or_else(|| Error::PluginNotEnabled { room, what: plugin.into() })
    }

    /// Makes the change to a plugin's row, which is added if there is none; what the change leaves out stays as it was.
    fn apply(&self, rows: &mut Vec<BindingRow>, name: &str, change: BindingChange) -> Result<(), Error> {
        let existing = rows.iter().position(|row| row.plugin == name);
        let before = existing.and_then(|index| rows.get(index));
        let version = change.version.as_ref().or(before.map(|row| &row.version));
        let not_installed =
            || Error::PluginNotInstalled(version.map_or_else(|| name.into(), |v| format!("{name} {v}")));
        let plugin = self.registry.get(name, version).ok_or_else(not_installed)?;
        let config = change.config.or_else(|| before.map(|row| row.config.clone())).unwrap_or_else(|| json!({}));
        let config_fault = |fault| Error::Config { plugin: name.into(), fault };
        let canary = change.canary.unwrap_or_else(|| before.and_then(|row| row.canary.clone()));
        if let Some((version, percent)) = &canary {
            if !(1..=100).contains(percent) {
                return Err(Error::Invalid { field: "canary.percent".into(), fault: "must be 1 to 100".into() });
            }
            let canary = self.registry.get(name, Some(version));
            let canary = canary.ok_or_else(|| Error::PluginNotInstalled(format!("{name} {version}")))?;
            canary.configure(config.clone()).map_err(config_fault)?;
        }
        let row = BindingRow {
            plugin: name.into(),
            version: plugin.manifest.version.clone(),
            enabled: change.enabled,
            config: plugin.configure(config).map_err(config_fault)?,
            canary,
        };
        if existing.is_none() && rows.len() >= BINDINGS_MAX {
            return Err(Error::Invalid { field: "plugins".into(), fault: "at most 64 in one room".into() });
        }
        match existing.and_then(|index| rows.get_mut(index)) {
            Some(place) => *place = row,
            None => rows.push(row),
        }
        Ok(())
    }

    async fn change(
        &self,
        by: UserId,
        action: &str,
        before: &Arc<Snapshot>,
        stream: Option<StreamRow>,
        bindings: Vec<BindingRow>,
    ) -> Result<Arc<Snapshot>, Error> {
        let room = before.info.room_id;
        let row = RoomRow {
            room_id: room,
            title: before.info.title.to_string(),
            streamers: before.info.streamers.clone(),
            created_at_ms: before.created_at_ms,
            stream: stream.clone(),
            version: before.version.saturating_add(1),
        };
        let after = Arc::new(Snapshot::restore(row, bindings.clone(), &self.registry, Some(before)));
        check_routes(&after)?;
        self.tell(before, &after, Refusal::Stops).await?;
        let audit = AuditEntry {
            id: 0,
            room_id: room,
            at_ms: self.clock.now_ms(),
            by,
            action: action.into(),
            from: describe(before),
            to: describe(&after),
        };
        let (db, held, version, swapped) = (self.db.clone(), self.held.clone(), before.version, after.clone());
        let registry = self.registry.clone();
        // In a task of its own: a caller who goes away while this is written must not leave the old snapshot in memory.
        let written = tokio::spawn(async move {
            let written = db.change(room, version, stream.as_ref(), &bindings, &audit).await;
            {
                let mut held = held.write();
                match written {
                    Ok(true) if swapped.is_active() => drop(held.insert(room, swapped)),
                    // What is there now is not known if the database refused or failed; the next who asks reads it.
                    _ => drop(held.remove(&room)),
                }
            }
            registry.announce().await;
            written
        });
        if !written.await.map_err(|stopped| db::Error::Unavailable(stopped.to_string()))?? {
            return Err(Error::Raced(room));
        }
        self.tell(before, &after, Refusal::Logged).await?;
        Ok(after)
    }

    /// Tells the plugins what changes for them: first what they may refuse, and after the swap what they may not.
    async fn tell(&self, before: &Snapshot, after: &Snapshot, refusal: Refusal) -> Result<(), Error> {
        for binding in &after.bindings {
            let Some(context) = &binding.stable else { continue };
            let old = before.binding(&binding.row.plugin).map(|old| &old.row);
            for occasion in occasions(old, &binding.row, before.info.stream.is_some(), after.info.stream.is_some()) {
                let may_refuse = !matches!(occasion, Occasion::Disabled | Occasion::StreamEnded);
                if may_refuse != (refusal == Refusal::Stops) {
                    continue;
                }
                let answer = self.registry.lifecycle(context, occasion).await;
                let plugin = binding.row.plugin.clone();
                match (refusal, answer) {
                    (_, Ok(Ok(()))) => {}
                    (Refusal::Stops, Ok(Err(reason))) => return Err(Error::Refused { plugin, reason }),
                    (Refusal::Stops, Err(error)) => return Err(error.into()),
                    (Refusal::Logged, answer) => tracing::warn!(plugin, ?occasion, ?answer, "a plugin objected"),
                }
            }
        }
        Ok(())
    }

    pub(super) async fn turn(&self, room: RoomId) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.turns.get(turn_of(room)) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}

/// What a plugin's objection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Stops,
    Logged,
}

fn occasions(old: Option<&BindingRow>, new: &BindingRow, was_live: bool, is_live: bool) -> Vec<Occasion> {
    let was_enabled = old.is_some_and(|row| row.enabled);
    let mut occasions = Vec::new();
    match (was_enabled, new.enabled) {
        (false, true) => occasions.push(Occasion::Enabled),
        (true, false) => return vec![Occasion::Disabled],
        (true, true) if old.is_some_and(|old| old != new) => occasions.push(Occasion::Reconfigured),
        (false, false) => return occasions,
        (true, true) => {}
    }
    match (was_live, is_live) {
        (false, true) => occasions.push(Occasion::StreamStarted),
        (true, false) => occasions.push(Occasion::StreamEnded),
        _ => {}
    }
    occasions
}

fn check_routes(snapshot: &Snapshot) -> Result<(), Error> {
    let enabled: Vec<_> =
        snapshot.bindings.iter().filter(|b| b.row.enabled).filter_map(|b| b.stable.as_ref()).collect();
    for (index, left) in enabled.iter().enumerate() {
        for right in enabled.iter().skip(index + 1) {
            for route in &left.plugin.manifest.routes {
                if right.plugin.manifest.routes.iter().any(|other| overlap(route, other)) {
                    let (a, b) = (left.plugin.manifest.name.clone(), right.plugin.manifest.name.clone());
                    let what = format!("{} {}", route.method.as_str(), route.path);
                    return Err(Error::RouteTaken(a, b, what));
                }
            }
        }
    }
    Ok(())
}

/// A room as the audit trail tells of it.
fn describe(snapshot: &Snapshot) -> Value {
    let plugins: Vec<Value> = snapshot
        .bindings
        .iter()
        .map(|binding| {
            let row = &binding.row;
            let canary =
                row.canary.as_ref().map(|(v, percent)| json!({ "version": v.to_string(), "percent": percent }));
            json!({
                "name": row.plugin,
                "version": row.version.to_string(),
                "enabled": row.enabled,
                "config": row.config,
                "canary": canary,
            })
        })
        .collect();
    json!({
        "streamId": snapshot.info.stream.as_ref().map(|stream| stream.stream_id.to_string()),
        "streamers": user_ids(&snapshot.info.streamers),
        "plugins": plugins,
    })
}
