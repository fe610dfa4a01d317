//! The one declaration that makes a plugin of an author's functions.

/// Makes a plugin. All but `config` may be left out; the order is this:
///
/// ```text
/// greenroom_sdk::plugin! {
///     config: Settings,                  // a type that is a `#[config]`
///     routes: [vote, polls::close],      // functions that are a `#[route]`
///     refusals: [Refusal],               // enums that derive `Refusal`
///     timers: Alarm => close_in_time,    // fn(Room<Settings>, Alarm) -> Result<(), Problem>; an enum that derives `Timer`
///     consumer: settle,                  // fn(Vec<Message>) -> Vec<Verdict>
///     lifecycle: prepare,                // fn(Room<Settings>, Occasion) -> Result<(), Problem>
/// }
/// ```
///
/// It belongs into `main.rs`, for it makes `main`: on this machine a program that prints what the build puts into the manifest, on
/// `wasm32` the exports that the host calls. An instance serves one call at a time and is then used again: what it keeps in memory may
/// be gone at any time, and other instances, in other processes, do not see it.
#[macro_export]
macro_rules! plugin {
    (
        config: $config:ty
        $(, routes: [$($route:ty),* $(,)?])?
        $(, refusals: [$($refusal:ty),* $(,)?])?
        $(, timers: $timer:ty => $fire:path)?
        $(, consumer: $consume:path)?
        $(, lifecycle: $on:path)?
        $(,)?
    ) => {
        #[cfg(target_arch = "wasm32")]
        struct Exports;
        $( $crate::__plugin_export!(api Exports: $($route),*); )?
        $( $crate::__plugin_export!(timer_handler Exports: $config, $timer, $fire); )?
        $( $crate::__plugin_export!(consumer Exports: $consume); )?
        $( $crate::__plugin_export!(lifecycle Exports: $config, $on); )?

        #[cfg(target_arch = "wasm32")]
        fn main() {}

        #[cfg(not(target_arch = "wasm32"))]
        fn main() -> ::std::process::ExitCode {
            #[allow(unused_mut)]
            let mut description = $crate::describe::Description::new::<$config>();
            $($( description.route(<$route as $crate::routing::Endpoint>::describe()); )*)?
            $($( description.refusal::<$refusal>(); )*)?
            // Named here too, so that they are checked on this machine, and no compiler calls them unused.
            $( let _: fn($crate::Room<$config>, $timer) -> ::core::result::Result<(), $crate::Problem> = $fire; )?
            $( let _: fn(::std::vec::Vec<$crate::Message>) -> ::std::vec::Vec<$crate::Verdict> = $consume; )?
            $( let _: fn($crate::Room<$config>, $crate::Occasion) -> ::core::result::Result<(), $crate::Problem> = $on; )?
            description.print()
        }
    };
}

/// One export.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_export {
    (api $exports:ident: $($route:ty),*) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::api_export::exports::greenroom::plugin::api;
            impl api::Guest for $exports {
                fn handle(request: api::Request) -> Result<api::Response, api::Problem> {
                    $(
                        if $crate::routing::is_for::<$route>(&request) {
                            return <$route as $crate::routing::Endpoint>::handle(&request);
                        }
                    )*
                    Err($crate::routing::unknown(&request))
                }
            }
            $crate::bindings::api_export::export_api!($exports with_types_in $crate::bindings::api_export);
        };
    };
    (consumer $exports:ident: $consume:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::consumer_export::exports::greenroom::plugin::consumer;
            impl consumer::Guest for $exports {
                fn handle(batch: Vec<consumer::Message>) -> Vec<consumer::Verdict> {
                    $consume(batch)
                }
            }
            $crate::bindings::consumer_export::export_consumer!($exports with_types_in $crate::bindings::consumer_export);
        };
    };
    (lifecycle $exports:ident: $config:ty, $on:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::lifecycle_export::exports::greenroom::plugin::lifecycle;
            impl lifecycle::Guest for $exports {
                fn on(occasion: lifecycle::Occasion) -> Result<(), String> {
                    let room = $crate::Room::<$config>::of_this_call();
                    room.and_then(|room| $on(room, occasion)).map_err(|problem| problem.detail)
                }
            }
            $crate::bindings::lifecycle_export::export_lifecycle!($exports with_types_in $crate::bindings::lifecycle_export);
        };
    };
    (timer_handler $exports:ident: $config:ty, $timer:ty, $fire:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::timer_handler_export::exports::greenroom::plugin::timer_handler;
            impl timer_handler::Guest for $exports {
                fn fire(key: String, payload: Vec<u8>) -> Result<(), String> {
                    let timer = $crate::fired::<$timer>(&key, &payload)?;
                    let room = $crate::Room::<$config>::of_this_call();
                    room.and_then(|room| $fire(room, timer)).map_err(|problem| problem.detail)
                }
            }
            $crate::bindings::timer_handler_export::export_timer_handler!(
                $exports with_types_in $crate::bindings::timer_handler_export
            );
        };
    };
}
