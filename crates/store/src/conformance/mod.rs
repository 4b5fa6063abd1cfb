//! The suite that every store has to pass: a case for each point of the [`Store`] trait's docs.
//!
//! One file a method. A case is an async function over a [`Fixture`]; it asserts, and returns the
//! errors that it did not ask for. What a store says that it cannot do it has to refuse, and the
//! cases of such a capability check just that. [`crate::conformance!`] makes a test of each case,
//! [`crate::conformance_cases!`] is the one list of them.
//!
//! Answers may get lost: cases apply through [`Fixture::apply`], which names each operation and
//! repeats it until there is an answer.

pub mod apply;
pub mod fixture;
pub mod guards;
pub mod journal;
pub mod law;
pub mod live;
pub mod moving;
pub mod prepare;
pub mod purge;
pub mod read;
pub mod registers;
pub mod samples;
pub mod scan;
pub mod segments;
pub mod staging;
pub mod units;

pub use fixture::{Damage, Fixture, Seen};

#[cfg(doc)]
use crate::Store;

/// Makes a module of tests, one for each case of the suite.
///
/// The second argument is an expression of type `impl Fn() -> impl Future<Output = Fixture>`; it is
/// called once a case. The calling crate needs `tokio` with its test macro.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $factory:expr) => {
        mod $name {
            #[allow(
                unused_imports,
                reason = "the factory may name what lies beside the module"
            )]
            use super::*;
            $crate::conformance_cases!($crate::conformance_tests, $factory);
        }
    };
}

/// Writes the tests of one or more methods; only [`crate::conformance_cases!`] calls it.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr; $($method:ident: $($case:ident),+;)+) => {
        $($crate::conformance_tests!(@method $factory, $method, $($case),+);)+
    };
    (@method $factory:expr, $method:ident, $($case:ident),+) => {
        mod $method {
            #[allow(unused_imports, reason = "the factory may name what lies beside the module")]
            use super::*;
            $($crate::conformance_tests!(@case $factory, $method, $case);)+
        }
    };
    (@case $factory:expr, $method:ident, $case:ident) => {
        #[::tokio::test]
        async fn $case() -> $crate::Result<()> {
            let make = $factory;
            let fixture: $crate::conformance::Fixture = make().await;
            $crate::conformance::$method::$case(&fixture).await
        }
    };
}

/// The cases, by method: calls a macro with what it is given and the list.
#[macro_export]
macro_rules! conformance_cases {
    ($with:path, $given:expr) => {
        $with! { $given;
            prepare:
                twice_does_what_once_does,
                several_at_once_agree,
                a_copy_target_bears_no_mark,
                a_migration_s_store_keeps_its_record,
                a_retired_store_says_so,
                a_closed_store_begins_no_unit,
                a_released_store_is_a_plain_one;
            segments:
                shares_hold_every_record_once,
                an_empty_store_has_one_share_or_none;
            scan:
                units_and_records_ascend,
                storage_order_delivers_the_same,
                checked_records_come_without_values,
                a_mark_follows_every_unit,
                every_mark_resumes,
                damage_does_not_end_a_scan;
            read:
                an_absent_unit_has_no_frame,
                units_come_in_the_order_given,
                keys_bound_a_read,
                a_set_of_keys_bounds_a_read,
                order_and_limit_bound_a_read,
                content_bounds_a_read,
                a_kept_digest_is_the_sum_of_the_records;
            units:
                each_that_is_there_is_listed,
                names_ascend_by_bytes,
                a_long_list_is_whole,
                control_records_are_listed;
            apply:
                a_unit_is_all_or_nothing,
                a_unit_that_fails_does_not_stop_the_others,
                outcomes_tell_what_became_of_records,
                expectations_are_kept,
                operations_run_in_order,
                a_record_lacks_no_value,
                what_check_refuses_is_not_written,
                too_much_for_one_apply_is_told,
                an_operation_repeated_does_nothing_more,
                a_unit_without_records_is_not_there;
            guards:
                absent_holds_once,
                unmanaged_holds_without_control_record,
                content_is_compared,
                of_two_writers_one_wins,
                a_lost_guard_changes_nothing;
            live:
                without_the_capability_all_is_refused,
                a_control_record_is_kept,
                a_control_record_is_compared_whole,
                another_store_s_control_record_is_refused,
                what_makes_no_sense_is_refused,
                a_unit_only_goes_forward,
                a_unit_is_adopted_once,
                a_term_is_compared,
                a_sealed_unit_takes_no_write,
                a_write_keeps_the_digest_by_difference,
                a_tombstone_stays,
                of_two_increments_both_count,
                of_two_that_saw_the_same_one_wins,
                a_migration_s_store_takes_no_copy;
            journal:
                it_tells_every_write_behind_a_seq,
                what_was_cleared_is_told,
                it_recognises_an_operation,
                a_trimmed_journal_says_so,
                a_change_of_home_leaves_it;
            moving:
                a_copy_is_staged_beside_the_unit,
                a_staged_copy_changes_from_what_was_seen,
                a_copy_is_promoted_with_its_control_record,
                a_copy_is_discarded_with_its_control_record,
                a_copy_is_opened_anew,
                a_replica_is_replaced_exactly,
                what_was_staged_before_is_gone;
            staging:
                without_the_capability_all_is_refused,
                a_staged_copy_is_invisible,
                a_promoted_copy_is_the_unit,
                another_token_begins_again,
                a_discarded_copy_is_gone,
                the_guard_is_checked_again_on_promotion,
                only_its_token_touches_a_copy;
            purge:
                a_unit_goes_with_all_that_is_its,
                a_unit_that_changed_stays,
                a_control_record_goes_from_a_retired_store,
                an_absent_unit_is_told;
            registers:
                a_register_begins_absent,
                a_swap_needs_the_version_it_saw,
                of_two_swaps_one_wins,
                registers_are_apart;
            law:
                what_was_written_reads_back_equal,
                what_was_scanned_is_what_was_written,
                writing_what_is_there_changes_nothing,
                generic_records_are_held_or_refused;
        }
    };
}
