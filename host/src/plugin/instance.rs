//! One live instance of a component: what it is called with, and what comes back.
//!
//! It answers one call at a time. After a trap, a deadline or a call that was given up, it is not used again.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::plugin::bindings::exports::greenroom::plugin::{api, consumer, lifecycle, timer_handler};
use crate::plugin::state::{Call, State};

/// A component with its imports resolved and its exports looked up: what instances are made from.
pub(crate) struct Template {
    pre: InstancePre<State>,
    api: Option<api::GuestIndices>,
    consumer: Option<consumer::GuestIndices>,
    lifecycle: Option<lifecycle::GuestIndices>,
    timer: Option<timer_handler::GuestIndices>,
}

impl Template {
    /// Finds out which exports the component has.
    pub(crate) fn new(pre: InstancePre<State>) -> Self {
        Self {
            api: api::GuestIndices::new(&pre).ok(),
            consumer: consumer::GuestIndices::new(&pre).ok(),
            lifecycle: lifecycle::GuestIndices::new(&pre).ok(),
            timer: timer_handler::GuestIndices::new(&pre).ok(),
            pre,
        }
    }

    pub(crate) fn has_lifecycle(&self) -> bool {
        self.lifecycle.is_some()
    }

    /// Makes an instance and checks the types of its exports.
    ///
    /// # Errors
    /// If there is no room for it, its start traps, or an export has another type than this host's.
    pub(crate) async fn instantiate(&self, state: State) -> wasmtime::Result<Warm> {
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().tick());
        store.set_epoch_deadline(1);
        let turn = Arc::clone(&store.data().turn);
        let instance = turn.of(self.pre.instantiate_async(&mut store)).await?;
        let api = self.api.as_ref().map(|found| found.load(&mut store, &instance)).transpose()?;
        let consumer = self.consumer.as_ref().map(|found| found.load(&mut store, &instance)).transpose()?;
        let lifecycle = self.lifecycle.as_ref().map(|found| found.load(&mut store, &instance)).transpose()?;
        let timer = self.timer.as_ref().map(|found| found.load(&mut store, &instance)).transpose()?;
        let initial_bytes = store.data().memory.bytes;
        Ok(Warm { store, api, consumer, lifecycle, timer, calls: 0, initial_bytes })
    }
}

/// What an export is called with.
pub(crate) enum Input<'a> {
    Api(api::Request<'a>),
    Consume(&'a [consumer::Message<'a>]),
    On(lifecycle::Occasion<'a>),
    Fire(&'a str, &'a [u8]),
}

impl Input<'_> {
    /// The interface that is called.
    pub(crate) fn export(&self) -> &'static str {
        match self {
            Input::Api(_) => "greenroom:plugin/api",
            Input::Consume(_) => "greenroom:plugin/consumer",
            Input::On(_) => "greenroom:plugin/lifecycle",
            Input::Fire(..) => "greenroom:plugin/timer-handler",
        }
    }
}

/// What an export gives back.
pub(crate) enum Output {
    Api(Result<api::Response, api::Problem>),
    Verdicts(Vec<consumer::Verdict>),
    Told(Result<(), String>),
    /// The component has no such export.
    NoExport,
}

/// An instance, ready for a call.
pub(crate) struct Warm {
    pub(crate) store: Store<State>,
    api: Option<api::Guest>,
    consumer: Option<consumer::Guest>,
    lifecycle: Option<lifecycle::Guest>,
    timer: Option<timer_handler::Guest>,
    calls: u32,
    initial_bytes: u64,
}

impl Warm {
    /// Arms the limits and calls the export. Not safe to cancel: an instance whose call was given up must be dropped.
    ///
    /// # Errors
    /// A trap, or a limit; `state.call.breach` says which.
    pub(crate) async fn call(&mut self, call: Call, input: Input<'_>) -> wasmtime::Result<Output> {
        self.calls = self.calls.saturating_add(1);
        self.store.data_mut().call = call;
        self.store.set_epoch_deadline(1);
        let turn = Arc::clone(&self.store.data().turn);
        turn.of(self.export(input)).await
    }

    async fn export(&mut self, input: Input<'_>) -> wasmtime::Result<Output> {
        let store = &mut self.store;
        Ok(match input {
            Input::Api(request) => match &self.api {
                Some(api) => Output::Api(api.call_handle(store, request).await?),
                None => Output::NoExport,
            },
            Input::Consume(batch) => match &self.consumer {
                Some(consumer) => Output::Verdicts(consumer.call_handle(store, batch).await?),
                None => Output::NoExport,
            },
            Input::On(occasion) => match &self.lifecycle {
                Some(lifecycle) => Output::Told(lifecycle.call_on(store, occasion).await?),
                None => Output::NoExport,
            },
            Input::Fire(key, payload) => match &self.timer {
                Some(timer) => Output::Told(timer.call_fire(store, key, payload).await?),
                None => Output::NoExport,
            },
        })
    }

    /// Whether it has answered its share of calls, or has grown to more than three quarters of its memory limit since it was made.
    pub(crate) fn worn(&self, calls_max: u32) -> bool {
        let memory = &self.store.data().memory;
        let grown = memory.bytes > self.initial_bytes && memory.bytes > memory.limit / 4 * 3;
        self.calls >= calls_max || grown || memory.refused
    }
}
