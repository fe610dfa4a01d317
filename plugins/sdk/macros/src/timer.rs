//! `#[derive(Timer)]`: an enum of a plugin's timers. A variant's fields are the payload, and `#[timer("close/{poll_id}")]` makes the key.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitStr};

use crate::template::{fields, pattern, variants};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut arms = Vec::new();
    for variant in variants(input)? {
        let attribute = variant.attrs.iter().find(|attribute| attribute.path().is_ident("timer"));
        let Some(attribute) = attribute else {
            return Err(Error::new(variant.ident.span(), "add #[timer(\"key/with/{fields}\")]"));
        };
        let key: LitStr = attribute.parse_args()?;
        let pattern = pattern(variant, &fields(variant)?);
        arms.push(quote!(#pattern => ::std::format!(#key),));
    }
    let name = &input.ident;
    Ok(quote! {
        impl ::greenroom_sdk::Timer for #name {
            fn key(&self) -> ::std::string::String {
                match self { #(#arms)* }
            }
        }
    })
}
