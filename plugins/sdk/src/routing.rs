//! Routes: how a function's typed parts are read from a request, and how what it returns is written.
//!
//! [`route`](crate::route) makes an [`Endpoint`] of a function. Parts are read in the order of the parameters, and the first that
//! cannot be read is the answer. The host has checked role, live stream and the body's schema before.

use std::ops::Deref;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(target_arch = "wasm32"))]
use crate::describe;
use crate::{Caller, Config, Context, Id, Problem, Refusal, Request, Response, clocks, context, query, room};

/// A route: made by [`route`](crate::route), named in [`plugin!`](crate::plugin!).
pub trait Endpoint {
    /// In capitals.
    const METHOD: &'static str;
    /// Under the room, or under `/v1/` if it is global.
    const PATH: &'static str;

    /// Reads the parts, calls the function, writes its answer.
    ///
    /// # Errors
    /// What the client is told.
    fn handle(request: &Request) -> Result<Response, Problem>;

    /// For the manifest.
    #[cfg(not(target_arch = "wasm32"))]
    fn describe() -> describe::Route;
}

/// Whether a request is for this route.
#[must_use]
pub fn is_for<E: Endpoint>(request: &Request) -> bool {
    request.route == E::PATH && request.method == E::METHOD
}

/// The answer to a request that none of the plugin's routes is for, which the host does not let through.
#[must_use]
pub fn unknown(request: &Request) -> Problem {
    Problem::failed(format!("{} {} is not a route of this plugin", request.method, request.route))
}

/// What a route's function may take.
#[diagnostic::on_unimplemented(
    message = "a route cannot take `{Self}`",
    label = "not a part of a request",
    note = "it may take Caller, Now, Room<Config>, Path<…>, Query<…>, Body<…>, and &Request for what these do not cover"
)]
pub trait Part<'r>: Sized {
    /// Takes it from the request.
    ///
    /// # Errors
    /// 400 as a rule, with the place.
    fn read(request: &'r Request) -> Result<Self, Problem>;

    /// Says in the manifest what it expects.
    #[cfg(not(target_arch = "wasm32"))]
    fn describe(_route: &mut describe::Route) {}
}

impl<'r> Part<'r> for &'r Request {
    fn read(request: &'r Request) -> Result<Self, Problem> {
        Ok(request)
    }
}

impl Part<'_> for Caller {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok(request.caller)
    }
}

/// The host's clock as the request arrived: milliseconds since the Unix epoch. Nobody but the host can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now(pub u64);

impl Now {
    /// For a call that is no request, such as a timer's or a consumer's: the host's clock at this moment.
    #[must_use]
    pub fn of_this_call() -> Self {
        let now = clocks::wall_clock::now();
        Self(now.seconds.saturating_mul(1_000).saturating_add(u64::from(now.nanoseconds / 1_000_000)))
    }
}

impl Part<'_> for Now {
    fn read(request: &Request) -> Result<Self, Problem> {
        Ok(Self(request.now_ms))
    }
}

/// The room of the call with the plugin's typed configuration in it, read from the host once for each snapshot of them.
#[derive(Debug)]
pub struct Room<C> {
    /// Who and what the room is.
    pub info: Rc<room::Info>,
    /// With the defaults filled in.
    pub config: Rc<C>,
}

impl<C: Config> Part<'_> for Room<C> {
    fn read(request: &Request) -> Result<Self, Problem> {
        let context = C::contexts().with(|contexts| contexts.get_or_make(request.context, Context::read))?;
        Self::of(&context)
    }
}

impl<C: Config> Room<C> {
    /// The room of a call that is no request: a timer's or an occasion's. Two host calls.
    ///
    /// # Errors
    /// If the call is about no room, such as a consumer's.
    pub fn of_this_call() -> Result<Self, Problem> {
        Self::of(&Context::read()?)
    }

    /// A room in which the plugin is enabled, for a call that need not be about it, such as a consumer's; none if the plugin is not
    /// enabled there. Two host calls.
    ///
    /// # Errors
    /// If the host cannot say now.
    pub fn find(room_id: i64) -> Result<Option<Self>, Problem> {
        let Some(info) = room::find(room_id)? else { return Ok(None) };
        let config = context::configuration(&room::configuration_in(room_id)?)?;
        Ok(Some(Self { info: Rc::new(info), config: Rc::new(config) }))
    }

    fn of(context: &Context<C>) -> Result<Self, Problem> {
        let none = || Problem::invalid("this is only possible in a room");
        Ok(Self { info: context.room.clone().ok_or_else(none)?, config: Rc::clone(&context.config) })
    }

    /// The live stream.
    ///
    /// # Errors
    /// 409 if there is none.
    pub fn stream(&self) -> Result<&room::Stream, Problem> {
        let none = || Problem::new(409, 10002, "stream-not-live", "this is possible while the room is live");
        self.info.stream.as_ref().ok_or_else(none)
    }

    /// Pushes to everybody in the room, once for each key. See `greenroom:room`.
    ///
    /// # Errors
    /// If it cannot be pushed; what the call did before stands.
    pub fn broadcast(
        &self,
        key: &str,
        event: &str,
        data: &impl Serialize,
        priority: room::Priority,
    ) -> Result<(), Problem> {
        Ok(room::broadcast_in(self.room_id, key, event, &text(data)?, priority)?)
    }

    /// The same to one user.
    ///
    /// # Errors
    /// If it cannot be pushed; what the call did before stands.
    pub fn send(
        &self,
        user_id: i64,
        key: &str,
        event: &str,
        data: &impl Serialize,
        priority: room::Priority,
    ) -> Result<(), Problem> {
        Ok(room::send_in(self.room_id, user_id, key, event, &text(data)?, priority)?)
    }
}

impl<C> Deref for Room<C> {
    type Target = room::Info;

    fn deref(&self) -> &room::Info {
        &self.info
    }
}

fn text(data: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(data).map_err(|e| Problem::failed(format!("push: {e}")))
}

/// The body, of a type that is a [`request`](macro@crate::request). Its schema goes into the manifest, so the host refuses others first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> Part<'_> for Body<T> {
    fn read(request: &Request) -> Result<Self, Problem> {
        request.json().map(Body)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route) {
        route.request::<T>();
    }
}

/// The parameters of the query, of a type that is a [`request`](macro@crate::request). Numbers and booleans are read from their text. Its schema goes
/// into the manifest, so the host refuses others first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> Part<'_> for Query<T> {
    fn read(request: &Request) -> Result<Self, Problem> {
        query::read(&request.query).map(Query)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route) {
        route.query::<T>();
    }
}

/// The parameters of the path in their order: one, or a tuple of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: FromPath> Part<'_> for Path<T> {
    fn read(request: &Request) -> Result<Self, Problem> {
        let [(name, value)] = request.params.as_slice() else { return Err(miscounted(request, 1)) };
        T::from_path(name, value).map(Path)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route) {
        route.params(1);
    }
}

impl<A: FromPath, B: FromPath> Part<'_> for Path<(A, B)> {
    fn read(request: &Request) -> Result<Self, Problem> {
        let [(first, a), (second, b)] = request.params.as_slice() else { return Err(miscounted(request, 2)) };
        Ok(Path((A::from_path(first, a)?, B::from_path(second, b)?)))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route) {
        route.params(2);
    }
}

fn miscounted(request: &Request, expected: usize) -> Problem {
    let has = request.params.len();
    Problem::failed(format!("the path `{}` has {has} parameters; the function takes {expected}", request.route))
}

/// What a parameter of a path may be.
pub trait FromPath: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// 400 with the parameter's name.
    fn from_path(name: &str, value: &str) -> Result<Self, Problem>;
}

impl FromPath for Id {
    fn from_path(name: &str, value: &str) -> Result<Self, Problem> {
        let fault = || Problem::invalid(format!("path: `{name}` must be a number from 1 to 9223372036854775807"));
        Id::parse(value).ok_or_else(fault)
    }
}

impl FromPath for String {
    fn from_path(_: &str, value: &str) -> Result<Self, Problem> {
        Ok(value.into())
    }
}

/// What a route's function may return: a `Result` of an [`answer`](crate::answer), and a [`Problem`] or a [`Refusal`].
#[diagnostic::on_unimplemented(
    message = "a route cannot return `{Self}`",
    note = "return Result<T, Problem>, or Result<T, R> with an enum R that derives Refusal; T is an #[answer], or () for no content"
)]
pub trait Reply {
    /// Writes it.
    ///
    /// # Errors
    /// What the client is told.
    fn answer(self) -> Result<Response, Problem>;

    /// Says in the manifest what it is.
    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route);
}

impl<T: Serialize + JsonSchema, E: Refusal> Reply for Result<T, E> {
    fn answer(self) -> Result<Response, Problem> {
        match self {
            // `()` is written as null, and is no content.
            Ok(value) => Response::json(&value).map(|answer| match answer.body.as_slice() {
                b"null" => Response::no_content(),
                _ => answer,
            }),
            Err(refusal) => Err(refusal.into()),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn describe(route: &mut describe::Route) {
        route.response::<T>();
    }
}

#[cfg(test)]
mod tests;
