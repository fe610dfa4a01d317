//! What a plugin refuses: its own enum, each case with its code, status, slug and text.

use crate::Problem;

/// One case of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Serialize))]
pub struct Case {
    /// 0 to 999 within the range that the plugin was given at installation, or one of the host's.
    pub code: u32,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// The client sees `/problems/<slug>`.
    pub slug: &'static str,
    /// With `{fields}`.
    pub detail: &'static str,
}

/// What can be told to a client instead of an answer: a [`Problem`], or an enum that derives this.
pub trait Refusal: Into<Problem> {
    /// The cases of the enum.
    const CASES: &'static [Case];
}

impl Refusal for Problem {
    const CASES: &'static [Case] = &[];
}

#[cfg(test)]
mod tests {
    use crate::{Amount, Problem, Refusal};

    #[derive(Debug, crate::Refusal)]
    enum No {
        #[refusal(1, 409, "poll-closed", "the poll is closed")]
        Closed,
        #[refusal(2, 429, "quota-reached", "{quota} votes are all, and each costs {unit_price}")]
        Quota { quota: u32, unit_price: Amount, retry_after_ms: u32 },
    }

    #[test]
    fn a_case_becomes_a_problem_with_its_fields_for_people_and_programs() {
        let problem = Problem::from(No::Quota { quota: 3, unit_price: Amount::new(10), retry_after_ms: 500 });
        assert_eq!((problem.code, problem.status, problem.slug.as_str()), (2, 429, "quota-reached"));
        assert_eq!(problem.detail, "3 votes are all, and each costs 10");
        assert_eq!(problem.extra, r#"{"quota":3,"unitPrice":"10"}"#);
        assert_eq!(problem.retry_after_ms, Some(500));
        let closed = Problem::from(No::Closed);
        assert_eq!((closed.code, closed.extra.as_str(), closed.retry_after_ms), (1, "", None));
        assert_eq!(No::CASES[1].detail, "{quota} votes are all, and each costs {unit_price}");
    }
}
