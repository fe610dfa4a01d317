//! The form below [`plugin!`](crate::plugin!): requests, payloads and timers as the host gives them, and a manifest that says everything.
//! For a plugin whose answers are not types.

use crate::{Message, Occasion, Problem, Request, Response, Verdict};

/// A plugin. Implement what it exports and name those exports in [`raw_plugin!`](crate::raw_plugin!); the other methods are never called.
///
/// An instance serves one call at a time and is then used again: what it keeps in memory may be gone at any time, and other
/// instances, in other processes, do not see it.
pub trait Plugin {
    /// Answers a request to one of the routes that the manifest names.
    ///
    /// # Errors
    /// What the client is told.
    fn api(request: Request) -> Result<Response, Problem> {
        Err(Problem::invalid(format!("{} {} is not implemented", request.method, request.route)))
    }

    /// Handles a batch of events; one verdict for each, in order. A batch may come again.
    fn consume(batch: Vec<Message>) -> Vec<Verdict> {
        batch.iter().map(|_| Verdict::Reject("this plugin consumes nothing".into())).collect()
    }

    /// Is told what happens to the plugin in a room.
    ///
    /// # Errors
    /// For the operator; refuses `enabled`, `stream-started` and `reconfigured`.
    fn on(_occasion: Occasion) -> Result<(), String> {
        Ok(())
    }

    /// A timer is due. May be called more than once for one timer.
    ///
    /// # Errors
    /// Makes the host try again later.
    fn fire(key: String, _payload: Vec<u8>) -> Result<(), String> {
        Err(format!("nothing is known of timer `{key}`"))
    }
}

/// Exports a [`Plugin`]: `greenroom_sdk::raw_plugin!(Hello: api, consumer, lifecycle, timer_handler)`, with those that it implements.
///
/// Does nothing off `wasm32`, so that a plugin's tests compile as they are.
#[macro_export]
macro_rules! raw_plugin {
    ($plugin:ident: $($export:ident),+ $(,)?) => {
        $( $crate::__raw_plugin_export!($plugin, $export); )+
    };
}

/// One export.
#[doc(hidden)]
#[macro_export]
macro_rules! __raw_plugin_export {
    ($plugin:ident, api) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::api_export::exports::greenroom::plugin::api;
            impl api::Guest for $plugin {
                fn handle(request: api::Request) -> Result<api::Response, api::Problem> {
                    <$plugin as $crate::Plugin>::api(request)
                }
            }
            $crate::bindings::api_export::export_api!($plugin with_types_in $crate::bindings::api_export);
        };
    };
    ($plugin:ident, consumer) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::consumer_export::exports::greenroom::plugin::consumer;
            impl consumer::Guest for $plugin {
                fn handle(batch: Vec<consumer::Message>) -> Vec<consumer::Verdict> {
                    <$plugin as $crate::Plugin>::consume(batch)
                }
            }
            $crate::bindings::consumer_export::export_consumer!($plugin with_types_in $crate::bindings::consumer_export);
        };
    };
    ($plugin:ident, lifecycle) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::lifecycle_export::exports::greenroom::plugin::lifecycle;
            impl lifecycle::Guest for $plugin {
                fn on(occasion: lifecycle::Occasion) -> Result<(), String> {
                    <$plugin as $crate::Plugin>::on(occasion)
                }
            }
            $crate::bindings::lifecycle_export::export_lifecycle!($plugin with_types_in $crate::bindings::lifecycle_export);
        };
    };
    ($plugin:ident, timer_handler) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::timer_handler_export::exports::greenroom::plugin::timer_handler;
            impl timer_handler::Guest for $plugin {
                fn fire(key: String, payload: Vec<u8>) -> Result<(), String> {
                    <$plugin as $crate::Plugin>::fire(key, payload)
                }
            }
            $crate::bindings::timer_handler_export::export_timer_handler!(
                $plugin with_types_in $crate::bindings::timer_handler_export
            );
        };
    };
}
