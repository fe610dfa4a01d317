//! The smallest plugin: one route that greets the caller and pushes the greeting to the room.

use greenroom_sdk::{Caller, Now, Problem, Room, answer, config, room::Priority, route};

/// What an operator may set in a room.
#[config]
struct Settings {
    /// The first word of a greeting.
    #[default("Hello".into())]
    #[schemars(length(max = 100))]
    greeting: String,
}

#[answer]
struct Greeting {
    text: String,
}

/// The rule of this plugin. It asks the host for nothing, so it can be tested without one.
fn greeting(settings: &Settings, user_id: i64) -> Greeting {
    Greeting { text: format!("{}, {user_id}!", settings.greeting) }
}

/// Greets the caller, and shows the greeting to everybody in the room.
#[route(POST "hello")]
fn hello(caller: Caller, Now(now_ms): Now, room: Room<Settings>) -> Result<Greeting, Problem> {
    let said = greeting(&room.config, caller.user_id);
    // The push's key: who repeats the greeting at the same moment is shown once.
    room.broadcast(&format!("{}/{now_ms}", caller.user_id), "hello.said", &said, Priority::Low)?;
    Ok(said)
}

greenroom_sdk::plugin! { config: Settings, routes: [hello] }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_what_the_room_wants_it_to_be() {
        let settings = Settings { greeting: "Welcome".into() };
        assert_eq!(greeting(&settings, 7).text, "Welcome, 7!");
    }
}
