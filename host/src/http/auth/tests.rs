//! Tokens that are believed, and all the others. The keys beside this file were made for these tests.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde_json::{Value, json};

use super::*;

const NOW_S: u64 = 1_700_000_000;
const NOW_MS: u64 = NOW_S * 1_000;
const ED25519: &[u8] = include_bytes!("testdata/ed25519.pem");
const RSA: &[u8] = include_bytes!("testdata/rsa2048.pem");

fn secret(fill: u8) -> Vec<u8> {
    vec![fill; 32]
}

fn with_secrets(secrets: &[Vec<u8>]) -> Authenticator {
    Authenticator::new(&Settings { secrets: secrets.to_vec(), ..Settings::default() }).unwrap()
}

fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(&secret(1))).unwrap()
}

fn code(result: Result<Identity, Problem>) -> u32 {
    result.unwrap_err().code()
}

#[test]
fn a_token_that_was_issued_is_believed_until_it_expires() {
    let auth = with_secrets(&[secret(1)]);
    let token = issue(&secret(1), UserId(1001), Role::Viewer, 7, NOW_S + 60).unwrap();
    for _ in 0..2 {
        let identity = auth.verify(&token, NOW_MS).unwrap();
        assert_eq!(identity.caller, Caller { user_id: UserId(1001), role: Role::Viewer, level: 7 });
        assert_eq!(identity.expires_at_s, NOW_S + 60);
    }
    assert!(auth.verify(&token, NOW_MS + 59_999).is_ok());
    assert_eq!(code(auth.verify(&token, NOW_MS + 60_000)), 100_001);
    assert_eq!(code(auth.verify(&token, NOW_MS + 60_000)), 100_001);
}

#[test]
fn an_expired_token_is_refused_at_first_sight_too() {
    let token = issue(&secret(1), UserId(1), Role::Viewer, 0, NOW_S).unwrap();
    assert_eq!(code(with_secrets(&[secret(1)]).verify(&token, NOW_MS)), 100_001);
}

#[test]
fn a_forged_or_mangled_token_is_refused() {
    let auth = with_secrets(&[secret(1)]);
    let good = issue(&secret(1), UserId(1), Role::Viewer, 0, NOW_S + 60).unwrap();
    let forged = issue(&secret(9), UserId(1), Role::Operator, 0, NOW_S + 60).unwrap();
    // `{"alg":"none"}` and `{"alg":"None"}`, with the claims of the good one and without a signature.
    let claims = good.split('.').nth(1).unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let none_in_disguise = format!("eyJhbGciOiJOb25lIn0.{claims}.");
    let swapped: Vec<&str> =
        vec![good.split('.').next().unwrap(), forged.split('.').nth(1).unwrap(), good.split('.').nth(2).unwrap()];
    for token in [
        &forged,
        &none,
        &none_in_disguise,
        &swapped.join("."),
        &good[..good.len() - 2],
        "",
        "a.b.c",
        &"x".repeat(9_000),
    ] {
        assert_eq!(code(auth.verify(token, NOW_MS)), 100_001, "{token}");
    }
}

#[test]
fn claims_that_say_nothing_useful_are_refused() {
    let auth = with_secrets(&[secret(1)]);
    let good = json!({"sub": "1", "role": "viewer", "exp": NOW_S + 60});
    assert!(auth.verify(&signed(&good), NOW_MS).is_ok());
    assert_eq!(
        auth.verify(&signed(&json!({"sub": 5, "role": "service", "exp": NOW_S + 60})), NOW_MS).unwrap().user(),
        UserId(5)
    );
    for (field, value) in [
        ("sub", json!("0")),
        ("sub", json!("-1")),
        ("sub", json!("bob")),
        ("sub", Value::Null),
        ("role", json!("root")),
        ("role", Value::Null),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(NOW_S + 60)),
    ] {
        let mut claims = good.clone();
        if value.is_null() && field != "nbf" {
            claims.as_object_mut().unwrap().remove(field);
        } else {
            claims[field] = value.clone();
        }
        assert_eq!(code(auth.verify(&signed(&claims), NOW_MS)), 100_001, "{field} {value}");
    }
}

#[test]
fn the_previous_secret_is_believed_while_it_is_rotated_out() {
    let old = issue(&secret(1), UserId(1), Role::Viewer, 0, NOW_S + 60).unwrap();
    assert!(with_secrets(&[secret(2), secret(1)]).verify(&old, NOW_MS).is_ok());
    assert_eq!(code(with_secrets(&[secret(2)]).verify(&old, NOW_MS)), 100_001);
}

#[test]
fn a_short_secret_or_no_key_is_a_fault_of_the_configuration() {
    let short = Settings { secrets: vec![vec![1; 31]], ..Settings::default() };
    assert!(matches!(Authenticator::new(&short), Err(Error::ShortSecret)));
    assert!(matches!(Authenticator::new(&Settings::default()), Err(Error::NoKey)));
    let missing = Settings { jwks_file: Some("/nowhere/jwks.json".into()), ..Settings::default() };
    assert!(matches!(Authenticator::new(&missing), Err(Error::Jwks { .. })));
}

#[test]
fn tokens_of_the_keys_in_a_jwk_set_are_believed_and_a_public_key_is_no_secret() {
    let ed = EncodingKey::from_ed_pem(ED25519).unwrap();
    let rsa = EncodingKey::from_rsa_pem(RSA).unwrap();
    let jwk = |key: &EncodingKey, algorithm, id: &str| {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        jwk
    };
    let set = JwkSet { keys: vec![jwk(&ed, Algorithm::EdDSA, "e"), jwk(&rsa, Algorithm::RS256, "r")] };
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = serde_json::to_vec(&set).unwrap();
    std::fs::write(file.path(), &text).unwrap();
    let auth = Authenticator::new(&Settings { jwks_file: Some(file.path().into()), ..Settings::default() }).unwrap();
    let claims = json!({"sub": "8", "role": "streamer", "exp": NOW_S + 60});
    let token = |key, algorithm, id: &str| {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
        encode(&header, &claims, key).unwrap()
    };
    assert_eq!(auth.verify(&token(&ed, Algorithm::EdDSA, "e"), NOW_MS).unwrap().user(), UserId(8));
    assert_eq!(auth.verify(&token(&rsa, Algorithm::RS256, "r"), NOW_MS).unwrap().caller.role, Role::Streamer);
    assert_eq!(code(auth.verify(&token(&ed, Algorithm::EdDSA, "other"), NOW_MS)), 100_001);
    let as_secret = EncodingKey::from_secret(&text);
    assert_eq!(code(auth.verify(&token(&as_secret, Algorithm::HS256, "r"), NOW_MS)), 100_001);
}

#[test]
fn the_header_must_be_a_bearer_token() {
    let auth = with_secrets(&[secret(1)]);
    let token = issue(&secret(1), UserId(1), Role::Viewer, 0, NOW_S + 60).unwrap();
    let with = |value: Option<String>| {
        let mut headers = HeaderMap::new();
        value.map(|value| headers.insert(AUTHORIZATION, value.parse().unwrap()));
        auth.header(&headers, NOW_MS)
    };
    assert!(with(Some(format!("Bearer {token}"))).is_ok());
    assert!(with(Some(format!("bearer {token}"))).is_ok());
    for bad in [None, Some(String::new()), Some(token.clone()), Some(format!("Basic {token}"))] {
        let refused = with(bad.clone()).unwrap_err().respond("/");
        assert_eq!(
            (refused.status().as_u16(), refused.headers()["www-authenticate"].to_str().unwrap()),
            (401, "Bearer"),
            "{bad:?}"
        );
    }
}

#[test]
fn streamers_run_their_own_room_and_operators_any() {
    let identity = |user, role| Identity { caller: Caller { user_id: UserId(user), role, level: 0 }, expires_at_s: 0 };
    let room = [UserId(7)];
    assert!(identity(7, Role::Streamer).require_room(&room).is_ok());
    assert!(identity(1, Role::Operator).require_room(&room).is_ok());
    for who in [identity(8, Role::Streamer), identity(7, Role::Viewer), identity(7, Role::Service)] {
        assert_eq!(who.require_room(&room).unwrap_err().code(), 100_003);
    }
}
