//! A text with `{fields}` of an enum's variant.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, Variant};

/// The variants of an enum.
pub(crate) fn variants(input: &DeriveInput) -> syn::Result<impl Iterator<Item = &Variant>> {
    match &input.data {
        Data::Enum(data) => Ok(data.variants.iter()),
        _ => Err(Error::new(input.ident.span(), "an enum, one variant for each case")),
    }
}

/// The names of a variant's fields.
pub(crate) fn fields(variant: &Variant) -> syn::Result<Vec<&Ident>> {
    match &variant.fields {
        Fields::Unit => Ok(Vec::new()),
        Fields::Named(fields) => Ok(fields.named.iter().filter_map(|field| field.ident.as_ref()).collect()),
        Fields::Unnamed(_) => {
            Err(Error::new(variant.ident.span(), "name the fields: the text refers to them as `{name}`"))
        }
    }
}

/// The pattern that takes a variant apart. Not each text names each field.
pub(crate) fn pattern(variant: &Variant, fields: &[&Ident]) -> TokenStream {
    let name = &variant.ident;
    quote!(#[allow(unused_variables)] Self::#name { #(#fields),* })
}
