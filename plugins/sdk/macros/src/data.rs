//! `#[request]`, `#[answer]`, `#[stored]` and `#[config]` on a type: the derives, with the rules of the HTTP interface (camelCase, and
//! unknown fields refused where somebody else writes them).

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, Expr, Fields, Item, ItemStruct};

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Read from a client.
    Request,
    /// Written to a client.
    Answer,
    /// Written and read by the plugin itself.
    Stored,
}

pub(crate) fn expand(kind: Kind, item: Item) -> TokenStream {
    let fields = if matches!(item, Item::Enum(_)) { quote!(rename_all_fields = "camelCase",) } else { quote!() };
    let rules = quote!(#fields rename_all = "camelCase", crate = "::greenroom_sdk::serde");
    let schema = quote!(#[schemars(crate = "::greenroom_sdk::schemars")]);
    let (derives, strict) = match kind {
        Kind::Request => (quote!(::greenroom_sdk::serde::Deserialize, ::greenroom_sdk::schemars::JsonSchema), true),
        Kind::Answer => (quote!(::greenroom_sdk::serde::Serialize, ::greenroom_sdk::schemars::JsonSchema), false),
        Kind::Stored => (
            quote!(
                ::greenroom_sdk::serde::Deserialize,
                ::greenroom_sdk::serde::Serialize,
                ::greenroom_sdk::schemars::JsonSchema
            ),
            false,
        ),
    };
    let strict = strict.then(|| quote!(#[serde(deny_unknown_fields)]));
    quote! {
        #[derive(Debug, Clone, PartialEq, #derives)]
        #[serde(#rules)]
        #strict
        #schema
        #item
    }
}

/// A configuration: each field has its default in `#[default(…)]`.
pub(crate) fn config(mut item: ItemStruct) -> syn::Result<TokenStream> {
    let Fields::Named(fields) = &mut item.fields else {
        return Err(Error::new_spanned(item.ident.to_token_stream(), "a configuration has named fields"));
    };
    let mut defaults = Vec::new();
    for field in &mut fields.named {
        let place = field.attrs.iter().position(|attribute| attribute.path().is_ident("default"));
        let value = match place {
            Some(place) => field.attrs.remove(place).parse_args::<Expr>()?.into_token_stream(),
            None => quote!(::core::default::Default::default()),
        };
        let name = &field.ident;
        defaults.push(quote!(#name: #value));
    }
    let name = &item.ident;
    Ok(quote! {
        #[derive(Debug, Clone, PartialEq, ::greenroom_sdk::serde::Deserialize, ::greenroom_sdk::schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase", crate = "::greenroom_sdk::serde")]
        #[schemars(crate = "::greenroom_sdk::schemars")]
        #item

        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#defaults),* }
            }
        }

        impl ::greenroom_sdk::Config for #name {
            fn contexts() -> &'static ::std::thread::LocalKey<::greenroom_sdk::Contexts<::greenroom_sdk::Context<Self>>> {
                ::std::thread_local! {
                    static CONTEXTS: ::greenroom_sdk::Contexts<::greenroom_sdk::Context<#name>> =
                        const { ::greenroom_sdk::Contexts::new() };
                }
                &CONTEXTS
            }
        }
    })
}
