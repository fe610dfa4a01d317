//! The Rust side of the WIT in `wit/`, generated. One world with every import and every export; which exports a component has is
//! found out export by export.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "greenroom:plugin/plugin",
    imports: {
        "greenroom:room/room.get-info": trappable,
        "greenroom:room/room.configuration": trappable,
        "greenroom:room/room.broadcast": trappable,
        "greenroom:room/room.send": trappable,
        "wasi:config/store": trappable,
        "wasi:logging/logging": trappable,
        "wasi:clocks/wall-clock": trappable,
        "wasi:clocks/monotonic-clock": trappable,
        "wasi:random/random": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: { "wasi:keyvalue/store.bucket": crate::plugin::host::keyvalue::Bucket },
    ownership: Borrowing { duplicate_if_necessary: false },
});
