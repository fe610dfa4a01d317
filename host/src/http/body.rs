//! Reads request bodies within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::{INVALID_REQUEST, Problem, REQUEST_TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE};

/// Reads a body.
///
/// # Errors
/// `too-large` (at once if the client says so itself), `request-timeout`, or `invalid-request` if it breaks off.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(TOO_LARGE, format!("the body may have {bytes_max} bytes"));
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|len| len > bytes_max as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Err(_) => Err(Problem::new(REQUEST_TIMEOUT, format!("the body did not arrive within {timeout:?}"))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(INVALID_REQUEST, "the body broke off")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// Lets only bodies of a media type pass; one without a type is taken for right.
///
/// # Errors
/// `unsupported-media-type`.
pub(super) fn require_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, format!("the body must be {wanted}")))
}
