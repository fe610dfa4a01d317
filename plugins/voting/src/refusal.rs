//! What is refused.

use greenroom_sdk::{Id, Refusal};

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Refusal)]
pub(crate) enum No {
    #[refusal(1, 409, "poll-closed", "the poll is closed; nothing was counted or paid")]
    Closed,
    #[refusal(
        2,
        409,
        "quota-reached",
        "a viewer has {votes_max} votes in this poll, and {votes_left} of yours are left"
    )]
    QuotaReached { votes_max: u32, votes_left: u32 },
    #[refusal(3, 409, "option-quota-reached", "option {option} can have {votes_per_option_max} votes of one viewer")]
    OptionQuotaReached { option: u32, votes_per_option_max: u32 },
    #[refusal(4, 409, "single-choice", "all votes of a viewer go to one option, and yours is {option}")]
    SingleChoice { option: u32 },
    #[refusal(5, 409, "votes-final", "votes in this poll are final; add votes if you have any left")]
    Final,
    #[refusal(6, 403, "no-vote", "your role has no vote in this poll")]
    Voteless,
    #[refusal(7, 403, "own-poll", "a streamer of the room has no paid vote, because its coins go to them")]
    OwnPoll,
    #[refusal(
        8,
        409,
        "vote-returned",
        "this vote was not counted, and its {cost} coins were given back; use a new event id"
    )]
    Returned { cost: greenroom_sdk::Amount },
    #[refusal(9, 409, "too-many-polls", "{open_max} polls are open in this room; close one first")]
    TooMany { open_max: u32 },
    #[refusal(10, 409, "poll-not-closed", "votes are still being counted; ask again when the poll is closed")]
    NotClosed,
    #[refusal(11, 404, "poll-not-found", "there is no poll {poll_id} in this room")]
    NotFound { poll_id: Id },
    #[refusal(12, 410, "ballots-forgotten", "the ballots of poll {poll_id} are not kept any more; its result is")]
    Forgotten { poll_id: Id },
    #[refusal(13, 404, "no-recount", "nobody has recounted poll {poll_id}; start it with POST")]
    NotRecounted { poll_id: Id },
}
