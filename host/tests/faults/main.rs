//! Faults of the distributed mode, each under load: real hosts over real Redis, Kafka and PostgreSQL servers that the scenario kills.
//!
//! Each ends in the same way: `greenroom reconcile` finds no difference, every gift that was answered is settled exactly once or stands in
//! the dead letters, every host tells the balances of the database, and the recorded history (`target/faults/<scenario>/history.edn`, in
//! Jepsen's format) is accepted by a checker that shares no code with the ledger. `SEED` repeats a load.
//!
//! What must never happen, and where it is shown on real services (`contracts` are the tests of `host/tests/contracts` over Redis, Kafka and
//! PostgreSQL; `load` is what every scenario here does):
//!
//! | fault | shown by |
//! |---|---|
//! | 1. two requests with one event id at once debit twice | `load`: one gift in seven goes over two hosts at once; contracts: `hammering_one_account_…`, `two_processes_on_one_account_never_overdraw` |
//! | 2. a lost answer is rolled back: debited and never settled | `killed::hosts_that_are_killed_at_random_moments_…`: requests without an answer are asked for again; contracts: `a_connection_that_was_cut_…` |
//! | 3. "rolled back" because the cache was briefly down | `redis::redis_that_is_killed_and_comes_back_with_its_data_…`, `redis::…_comes_back_empty_…` |
//! | 4. an unknown result code is taken for success | `load`: a viewer panics at an answer that it does not know; contracts: `a_server_that_was_flushed_refuses_…`, `a_step_that_the_server_has_lost_is_not_told_of` |
//! | 5. a user without an account crashes the worker | `e2e::faults` over the services; contracts: `an_unknown_user_is_remembered_…` |
//! | 6. a batch over the limit crashes | `e2e::faults` over the services |
//! | 7. refusals and exhausted retries are dropped | `messages::a_poison_message_…`; `load`: two viewers run out of money, and what was refused must not be in the books |
//! | 8. A pays B while B pays A: a deadlock | `load`: viewers 1001 and 1002 pay each other; contracts: `batches_that_pay_each_other_at_once_…` |
//! | 9. records without amounts | the end of every scenario: entries are added up to balances by the checker |
//! | 10. a client's own price or a negative amount | `e2e::errors` over the services |
//! | 11. the idempotency marker expires too early; a reload forgets events | `redis::…_comes_back_empty_…` and `redis::…_flushes_…`: what was answered before is asked for again afterwards; `clock::…` |
//! | 12. the cache's key and its record in two steps | `killed::…`: no gift is held without its event; one script a step |
//! | 13. a poison entry blocks its partition | `messages::a_poison_message_…` puts one into every partition |
//! | 14. after a failover the debit is gone and its event published | `cluster::…`, above all `a_replica_that_was_behind_…` |
//! | 15. two payers use one event id | `load`: one gift in twenty has an id that others choose too; contracts: `two_payers_may_use_one_event_id` |
//! | 16. a slow loader writes an old balance | `killed::a_host_that_is_silent_…`; contracts: `a_load_under_way_starts_over_…`, `a_load_that_began_before_the_epoch_…` |
//! | 17. the cache is flushed while a relay has an event in its hands | `redis::a_redis_that_somebody_flushes_…`: Kafka is silent then, so that relays have |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod audit;
mod clock;
mod cluster;
mod history;
mod hosts;
mod kafka;
mod killed;
mod load;
mod messages;
mod network;
mod postgres;
mod probe;
mod proxy;
mod redis;
mod services;
mod settled;
mod site;
mod verdict;
mod world;
