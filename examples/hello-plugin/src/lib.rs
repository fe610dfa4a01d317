//! The smallest plugin: one route that greets the caller and pushes the greeting to the room.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use greenroom_sdk::{Context, Contexts, Plugin, Problem, Request, Response, room};
use serde::{Deserialize, Serialize};

/// What an operator may set in a room; the schema in `plugin.toml` has checked it and filled in the defaults.
#[derive(Debug, Deserialize)]
struct Config {
    greeting: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Hello {
    text: String,
}

/// The rule of this plugin. It asks the host for nothing, so it can be tested without one.
fn greet(config: &Config, user_id: i64) -> Hello {
    Hello { text: format!("{}, {user_id}!", config.greeting) }
}

thread_local! {
    static CONTEXTS: Contexts<Context<Config>> = const { Contexts::new() };
}

/// The plugin.
#[derive(Debug)]
pub struct HelloPlugin;

impl Plugin for HelloPlugin {
    fn api(request: Request) -> Result<Response, Problem> {
        let context = CONTEXTS.with(|contexts| contexts.get_or_make(request.context, Context::read))?;
        let answer = Response::json(&greet(&context.config, request.caller.user_id))?;
        // The push's key: who repeats the greeting at the same moment is shown once.
        let key = format!("{}/{}", request.caller.user_id, request.now_ms);
        let data = String::from_utf8_lossy(&answer.body);
        room::broadcast(&key, "hello.said", &data, room::Priority::Low)?;
        Ok(answer)
    }
}

greenroom_sdk::plugin!(HelloPlugin: api);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_what_the_room_wants_it_to_be() {
        let config = Config { greeting: "Welcome".into() };
        assert_eq!(greet(&config, 7), Hello { text: "Welcome, 7!".into() });
    }
}
