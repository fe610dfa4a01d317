//! `#[derive(Refusal)]`: an enum of what a plugin refuses, each case with its code, status, slug and text.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{DeriveInput, Error, LitInt, LitStr, Token, Variant};

use crate::template::{fields, pattern, variants};

/// Codes below this are the plugin's own.
const OWN_MAX: u32 = 1_000;

struct Case {
    code: LitInt,
    status: LitInt,
    slug: LitStr,
    detail: LitStr,
}

impl Parse for Case {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let code = input.parse()?;
        input.parse::<Token![,]>()?;
        let status = input.parse()?;
        input.parse::<Token![,]>()?;
        let slug = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok(Self { code, status, slug, detail: input.parse()? })
    }
}

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let (mut arms, mut table, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for variant in variants(input)? {
        let case = read(variant)?;
        let number: u32 = case.code.base10_parse()?;
        if seen.contains(&number) && number < OWN_MAX {
            return Err(Error::new(case.code.span(), "this code is given twice"));
        }
        seen.push(number);
        let Case { code, status, slug, detail } = &case;
        arms.push(arm(variant, &case)?);
        table.push(quote!(::greenroom_sdk::Case { code: #code, status: #status, slug: #slug, detail: #detail }));
    }
    let name = &input.ident;
    Ok(quote! {
        impl ::greenroom_sdk::Refusal for #name {
            const CASES: &'static [::greenroom_sdk::Case] = &[#(#table),*];
        }

        impl ::core::convert::From<#name> for ::greenroom_sdk::Problem {
            fn from(refusal: #name) -> Self {
                refusal.problem()
            }
        }

        impl #name {
            fn problem(&self) -> ::greenroom_sdk::Problem {
                match self { #(#arms)* }
            }
        }
    })
}

fn read(variant: &Variant) -> syn::Result<Case> {
    let attribute = variant.attrs.iter().find(|attribute| attribute.path().is_ident("refusal"));
    let Some(attribute) = attribute else {
        let remedy = "add #[refusal(code, status, \"slug\", \"text with {fields}\")]; your own codes are 0 to 999";
        return Err(Error::new(variant.ident.span(), remedy));
    };
    let case: Case = attribute.parse_args()?;
    let status: u16 = case.status.base10_parse()?;
    if !(400..=599).contains(&status) {
        return Err(Error::new(case.status.span(), "a status from 400 to 599"));
    }
    let is_slug = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let slug = case.slug.value();
    if slug.is_empty() || slug.len() > 64 || !slug.bytes().all(is_slug) {
        return Err(Error::new(case.slug.span(), "1 to 64 characters of a-z 0-9 -"));
    }
    Ok(case)
}

fn arm(variant: &Variant, case: &Case) -> syn::Result<TokenStream> {
    let fields = fields(variant)?;
    let pattern = pattern(variant, &fields);
    let Case { code, status, slug, detail } = case;
    let retry = fields.iter().find(|field| **field == "retry_after_ms").map(|field| quote!(.retry_after_ms(*#field)));
    let told: Vec<_> = fields.iter().filter(|field| **field != "retry_after_ms").collect();
    let keys = told.iter().map(|field| camel(&field.to_string()));
    let extra =
        (!told.is_empty()).then(|| quote!(.with_extra(&::greenroom_sdk::serde_json::json!({ #(#keys: #told),* }))));
    Ok(quote! {
        #pattern => ::greenroom_sdk::Problem::new(#status, #code, #slug, ::std::format!(#detail)) #extra #retry,
    })
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}
