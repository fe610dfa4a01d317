//! What every database promises, as functions over the port traits. An adapter's test file opens a database and runs them all
//! with `db_contracts!`.

pub mod deliveries;
pub mod ledger;
pub mod model;
pub mod plugins;
pub mod pots;
pub mod rooms;
pub mod statements;

/// Makes one test of each contract. `$open` is an async function that opens an empty database and returns something that holds
/// it, with `db()` giving the adapter.
#[macro_export]
macro_rules! db_contracts {
    ($open:path; $($part:ident: $($name:ident),* $(,)?;)*) => {
        $(mod $part {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let opened = $open().await;
                $crate::contracts::db::$part::$name(opened.db()).await;
                greenroom::ports::db::Database::close(opened.db()).await;
            })*
        })*
    };
    ($open:path) => {
        $crate::db_contracts! {
            $open;
            ledger:
                a_posting_changes_every_account_and_is_known_afterwards,
                an_event_is_posted_once_and_its_reuse_is_refused,
                an_event_twice_in_a_batch_is_posted_once,
                two_payers_may_use_one_event_id,
                an_account_touched_often_in_a_batch_gets_one_version,
                a_batch_of_a_thousand_events_is_posted_whole,
                a_balance_that_does_not_fit_refuses_only_its_event,
                post_and_void_exclude_each_other,
                a_payer_may_pay_in_two_assets,
                overlapping_batches_at_once_post_each_event_once,
                batches_that_pay_each_other_at_once_all_get_through,
                records_are_paged_without_gaps_while_new_ones_arrive,
                records_are_of_one_asset_when_asked,
                a_void_leaves_no_record,
                a_strange_cursor_is_refused,
                an_unknown_account_is_none,
                a_post_that_is_given_up_is_whole_or_not_at_all;
            deliveries:
                an_event_set_aside_twice_is_there_once,
                due_retries_come_oldest_first_and_only_of_their_group,
                a_dead_letter_removes_the_retry_and_stays_dead,
                a_dead_letter_is_replayed_or_dropped_once,
                dead_letters_are_told_by_one_at_a_time_until_they_were_told,
                an_account_is_told_what_waits_at_its_cost,
                an_event_comes_back_as_it_was;
            plugins:
                a_version_is_installed_once_and_keeps_its_range_of_codes,
                plugins_are_listed_by_name_and_version;
            pots:
                a_name_is_one_pot_for_ever_and_each_plugin_has_its_own,
                a_pot_that_many_make_at_once_is_made_once;
            rooms:
                a_room_is_made_once_and_read_back,
                only_one_of_two_changes_at_once_wins,
                a_change_replaces_stream_and_bindings,
                live_rooms_are_those_with_a_stream_or_an_enabled_binding,
                a_version_is_bound_by_its_share_too,
                rooms_and_audits_are_paged;
            statements:
                rows_are_written_and_read_back,
                a_transaction_is_all_or_none,
                a_constraint_is_a_conflict,
                wrong_parameters_and_too_many_rows_are_invalid,
                a_statement_touches_only_the_plugins_own_tables,
                a_statement_is_one_reading_or_writing_statement,
                a_schema_is_only_tables_and_indexes_of_the_plugin,
                a_schema_is_run_once_and_all_or_none,
                the_gift_plugin_finds_its_tables_and_statements,
                sums_and_truths_are_integers;
        }
    };
}
