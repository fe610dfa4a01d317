//! `#[route(POST "polls/{pollId}/votes", roles(viewer), live)]` on a function: the function stays as it is, and beside it comes a type of
//! the same name that knows how to call and describe it.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, FnArg, ItemFn, LitStr, ReturnType, Token, parenthesized};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROLES: [&str; 4] = ["viewer", "streamer", "operator", "service"];

pub(crate) struct Options {
    method: Ident,
    path: LitStr,
    roles: Vec<String>,
    live: bool,
    global: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let method: Ident = input.parse()?;
        if !METHODS.contains(&method.to_string().as_str()) {
            return Err(Error::new(method.span(), format!("one of {}", METHODS.join(", "))));
        }
        let mut options = Self { method, path: input.parse()?, roles: Vec::new(), live: false, global: false };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            options.read(input)?;
        }
        Ok(options)
    }
}

impl Options {
    fn read(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let word: Ident = input.parse()?;
        match word.to_string().as_str() {
            "live" => self.live = true,
            "global" => self.global = true,
            "roles" => {
                let inside;
                parenthesized!(inside in input);
                for role in Punctuated::<Ident, Token![,]>::parse_terminated(&inside)? {
                    if !ROLES.contains(&role.to_string().as_str()) {
                        return Err(Error::new(role.span(), format!("one of {}", ROLES.join(", "))));
                    }
                    self.roles.push(role.to_string());
                }
            }
            _ => return Err(Error::new(word.span(), "one of roles(…), live, global")),
        }
        Ok(())
    }
}

pub(crate) fn expand(options: &Options, function: &ItemFn) -> syn::Result<TokenStream> {
    let mut parts = Vec::new();
    for argument in &function.sig.inputs {
        match argument {
            FnArg::Typed(argument) => parts.push(&argument.ty),
            FnArg::Receiver(this) => return Err(Error::new(this.self_token.span, "a route is a free function")),
        }
    }
    let ReturnType::Type(_, output) = &function.sig.output else {
        return Err(Error::new(function.sig.ident.span(), "a route returns a `Result<Answer, Problem>`"));
    };
    let (visibility, name) = (&function.vis, &function.sig.ident);
    let Options { method, path, roles, live, global } = options;
    let (method, summary) = (method.to_string(), summary(function)?);
    let scope = if *global { "global" } else { "room" };
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_docs, missing_debug_implementations)]
        #visibility struct #name {}

        impl ::greenroom_sdk::routing::Endpoint for #name {
            const METHOD: &'static str = #method;
            const PATH: &'static str = #path;

            fn handle(request: &::greenroom_sdk::Request) -> ::core::result::Result<::greenroom_sdk::Response, ::greenroom_sdk::Problem> {
                ::greenroom_sdk::routing::Reply::answer(
                    #name(#(<#parts as ::greenroom_sdk::routing::Part<'_>>::read(request)?),*)
                )
            }

            #[cfg(not(target_arch = "wasm32"))]
            fn describe() -> ::greenroom_sdk::describe::Route {
                let mut route = ::greenroom_sdk::describe::Route::new(#method, #path, #scope, #live, &[#(#roles),*], #summary);
                #(<#parts as ::greenroom_sdk::routing::Part<'_>>::describe(&mut route);)*
                <#output as ::greenroom_sdk::routing::Reply>::describe(&mut route);
                route
            }
        }
    })
}

/// The function's own documentation, its first paragraph, on one line.
fn summary(function: &ItemFn) -> syn::Result<String> {
    let mut lines = Vec::new();
    for attribute in function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(doc) = &attribute.meta
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &doc.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    let first: Vec<String> = lines.into_iter().take_while(|line| !line.is_empty()).collect();
    if first.is_empty() {
        let remedy = "document the function: its first paragraph is the route's summary";
        return Err(Error::new(function.sig.ident.span(), remedy));
    }
    Ok(first.join(" "))
}
