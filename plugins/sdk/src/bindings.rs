//! What `wit-bindgen` makes of the folder `wit/`: one module for the imports, one for each export, so that a plugin exports
//! only what it implements.
//!
//! Compiles on every machine. Off `wasm32` there is no host, and calling an import panics; keep rules free of imports and
//! they can be tested natively.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated code")]

pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "greenroom:plugin/imports",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub mod api_export {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package greenroom:sdk; world api-export { export greenroom:plugin/api@0.1.0; }",
        world: "greenroom:sdk/api-export",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_api",
        default_bindings_module: "greenroom_sdk::bindings::api_export",
    });
}

pub mod consumer_export {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package greenroom:sdk; world consumer-export { export greenroom:plugin/consumer@0.1.0; }",
        world: "greenroom:sdk/consumer-export",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_consumer",
        default_bindings_module: "greenroom_sdk::bindings::consumer_export",
    });
}

pub mod lifecycle_export {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package greenroom:sdk; world lifecycle-export { export greenroom:plugin/lifecycle@0.1.0; }",
        world: "greenroom:sdk/lifecycle-export",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "greenroom_sdk::bindings::lifecycle_export",
    });
}

pub mod timer_handler_export {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package greenroom:sdk; world timer-handler-export { export greenroom:plugin/timer-handler@0.1.0; }",
        world: "greenroom:sdk/timer-handler-export",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_timer_handler",
        default_bindings_module: "greenroom_sdk::bindings::timer_handler_export",
    });
}
