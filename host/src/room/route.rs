//! Finding the binding that answers a path.

use std::sync::Arc;

use async_trait::async_trait;
use greenroom_manifest::{Method, Route, Scope};

use super::{Error, Rooms, Routed};
use crate::domain::RoomId;
use crate::plugin::{Context, Enabled};
use crate::room::snapshot::{Binding, Snapshot};

type Params = Vec<(String, String)>;

impl Rooms {
    /// Finds the binding that answers a path under the room. Without input or output for a room that is held in memory.
    ///
    /// # Errors
    /// `RoomNotFound`, `PluginNotEnabled`, `NotLive`, or the database.
    pub async fn route(&self, room: RoomId, method: Method, path: &str) -> Result<Routed, Error> {
        let snapshot = self.snapshot(room).await?;
        for binding in snapshot.bindings.iter().filter(|binding| binding.row.enabled) {
            let Some(context) = binding.next() else { continue };
            if let Some((route, params)) = find(&context.plugin.manifest.routes, Scope::Room, method, path) {
                check_live(&snapshot, context, route)?;
                return Ok(Routed { context: context.clone(), route, params });
            }
        }
        Err(Error::PluginNotEnabled { room, what: format!("{} {path}", method.as_str()) })
    }

    /// Finds the plugin that answers a global path, if any: its newest version does.
    #[must_use]
    pub fn route_global(&self, method: Method, path: &str) -> Option<Routed> {
        self.registry.list().into_iter().rev().find_map(|plugin| {
            let (route, params) = find(&plugin.manifest.routes, Scope::Global, method, path)?;
            Some(Routed { context: Binding::roomless(plugin), route, params })
        })
    }

    /// What a plugin runs under in a room, enabled or not; none if it was never bound there.
    ///
    /// # Errors
    /// `RoomNotFound`, or the database.
    pub async fn context(&self, room: RoomId, plugin: &str) -> Result<Option<Arc<Context>>, Error> {
        Ok(self.snapshot(room).await?.binding(plugin).and_then(|binding| binding.stable.clone()))
    }
}

#[async_trait]
impl Enabled for Rooms {
    async fn enabled(&self, room: RoomId, plugin: &str) -> Result<Option<Arc<Context>>, String> {
        match self.snapshot(room).await {
            Ok(snapshot) => {
                let binding = snapshot.binding(plugin).filter(|binding| binding.row.enabled);
                Ok(binding.and_then(|binding| binding.stable.clone()))
            }
            Err(Error::RoomNotFound(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn check_live(snapshot: &Snapshot, context: &Context, route: usize) -> Result<(), Error> {
    let needs_stream = context.plugin.manifest.routes.get(route).is_some_and(|route| route.live);
    if needs_stream && snapshot.info.stream.is_none() {
        return Err(Error::NotLive(snapshot.info.room_id));
    }
    Ok(())
}

fn find(routes: &[Route], scope: Scope, method: Method, path: &str) -> Option<(usize, Params)> {
    routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.scope == scope && route.method == method)
        .find_map(|(index, route)| Some((index, matched(&route.path, path)?)))
}

/// The values of the template's parameters, if the path has its form.
fn matched(template: &str, path: &str) -> Option<Params> {
    let mut params = Params::new();
    let mut segments = path.split('/');
    for part in template.split('/') {
        let segment = segments.next()?;
        match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => params.push((name.into(), segment.into())),
            Some(_) => return None,
            None if part == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

/// Whether two templates could answer one path.
pub(super) fn overlap(a: &Route, b: &Route) -> bool {
    let is_parameter = |part: &str| part.starts_with('{');
    let (left, right): (Vec<_>, Vec<_>) = (a.path.split('/').collect(), b.path.split('/').collect());
    let same_form =
        left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| l == r || is_parameter(l) || is_parameter(r));
    a.scope == Scope::Room && b.scope == Scope::Room && a.method == b.method && same_form
}

#[cfg(test)]
mod tests {
    use super::matched;

    #[test]
    fn a_path_gives_the_values_of_its_template() {
        assert_eq!(matched("gifts", "gifts"), Some(vec![]));
        assert_eq!(matched("gifts/{giftId}", "gifts/7"), Some(vec![("giftId".into(), "7".into())]));
        for (template, path) in
            [("gifts", "gift"), ("gifts", "gifts/7"), ("gifts/{id}", "gifts"), ("gifts/{id}", "gifts/")]
        {
            assert_eq!(matched(template, path), None, "{template} {path}");
        }
    }
}
