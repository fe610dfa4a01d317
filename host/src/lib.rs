//! Greenroom: a WebAssembly plugin host for live-streaming rooms.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod adapters;
pub mod app;
pub mod bench;
pub mod breaker;
pub mod config;
pub mod domain;
pub mod http;
pub mod ledger;
pub mod plugin;
pub mod ports;
pub mod push;
pub mod relay;
pub mod room;
pub mod settle;
pub mod telemetry;
pub mod timer;
