//! The attributes and derives of the crate `greenroom-sdk`, which documents and re-exports them.
//!
//! Each turns one declaration into plain Rust that an author could have written: no state, no order of expansion matters.

#![allow(missing_docs, reason = "documented where they are re-exported, in greenroom-sdk")]

mod data;
mod refusal;
mod route;
mod template;
mod timer;

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, ItemFn, parse_macro_input};

#[proc_macro_attribute]
pub fn route(options: TokenStream, function: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as route::Options);
    let function = parse_macro_input!(function as ItemFn);
    route::expand(&options, &function).unwrap_or_else(syn::Error::into_compile_error).into()
}

#[proc_macro_attribute]
pub fn request(_: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(data::Kind::Request, parse_macro_input!(item as Item)).into()
}

#[proc_macro_attribute]
pub fn answer(_: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(data::Kind::Answer, parse_macro_input!(item as Item)).into()
}

#[proc_macro_attribute]
pub fn stored(_: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(data::Kind::Stored, parse_macro_input!(item as Item)).into()
}

#[proc_macro_attribute]
pub fn config(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::ItemStruct);
    data::config(item).unwrap_or_else(syn::Error::into_compile_error).into()
}

#[proc_macro_derive(Refusal, attributes(refusal))]
pub fn derive_refusal(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    refusal::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

#[proc_macro_derive(Timer, attributes(timer))]
pub fn derive_timer(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    timer::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
