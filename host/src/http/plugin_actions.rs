//! What those who run rooms do through a plugin: each in their own room alone, and in the room's audit.

use serde_json::{Value, json};

use super::Identity;
use super::problem::Problem;
use crate::domain::{RoomId, UserId};
use crate::plugin::{ApiRequest, Context};
use crate::room::Rooms;
use greenroom_manifest::{Role, Route};

/// As the audit names it.
const ACTION: &str = "plugin.called";

/// Refuses a streamer on a route for those who run rooms, if the room is another's.
///
/// # Errors
/// `forbidden`.
pub(super) fn require_own_room(who: &Identity, context: &Context, route: usize) -> Result<(), Problem> {
    let is_privileged = context.plugin.manifest.routes.get(route).is_some_and(Route::is_privileged);
    match &context.room {
        Some(room) if is_privileged && who.caller.role == Role::Streamer => who.require_room(&room.streamers),
        _ => Ok(()),
    }
}

/// An action as the audit tells of it.
pub(super) struct Told {
    room: RoomId,
    what: Value,
}

impl Told {
    /// None for what is no action, or about no room.
    pub(super) fn of(context: &Context, request: &ApiRequest, path: &str) -> Option<Self> {
        let route = context.plugin.manifest.routes.get(request.route).filter(|route| route.is_action())?;
        let room = context.room.as_ref()?.room_id;
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let plugin = &context.plugin.manifest.name;
        Some(Self { room, what: json!({ "plugin": plugin, "method": route.method, "path": path, "body": body }) })
    }

    /// Writes it. Until it is written the caller is not told of success: who repeats the action with its event id, repeats this.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(super) async fn note(self, rooms: &Rooms, by: UserId) -> Result<(), Problem> {
        Ok(rooms.note(by, self.room, ACTION, self.what).await?)
    }
}
