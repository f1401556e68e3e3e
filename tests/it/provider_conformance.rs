//! What every provider's room MUST do: one list, written once, and shown of each room. Here: the
//! list, and which test shows what. Never here: one provider's wire ([`stripe`], [`chargebee`],
//! [`usage_events`], [`cryptolens`], [`planship`]), or what a single room does beside the list
//! (`provider_stripe`, `provider_chargebee`, `provider_planship`). Read next: [`subject`].
//!
//! The sentences stand in the documentation of `tallyd::provider`; this list has their names, and
//! is held to it. What a room cannot be asked for it names itself, with the reason
//! ([`subject::Subject::lacks`]). A further room writes one file, a [`subject::Subject`], and its
//! line below.

#![expect(clippy::unwrap_used, reason = "what a test prepares has to be there")]

mod subject;
mod promising;
mod sending;
mod judging;
mod saying;
mod totalling;
mod meeting;
mod inspecting;
mod noticing;
mod billing;
mod stripe;
mod chargebee;
mod usage_events;
mod cryptolens;
mod planship;

use subject::{Subject, Trial};

/// Every room there is.
const SUBJECTS: &[&dyn Subject] = &[
    &stripe::V1,
    &stripe::V2,
    &stripe::STREAM,
    &chargebee::Site,
    &usage_events::Site,
    &cryptolens::Records,
    &planship::Reports,
];

/// The list: a MUST, its name in the documentation, and the sentence that its test proves.
macro_rules! each_must {
    ($then:ident $($with:tt)*) => {
        $then! {
            ($($with)*)
            KnownMeter = "known meter", promises_are_told_of_known_meters_alone;
            PureEncode = "pure encode", the_same_intent_gives_the_same_bytes;
            NamedMeter = "named meter", an_unknown_meter_is_not_encoded_and_named;
            NamedEvent = "named event", the_bytes_name_the_event_or_its_target;
            OneWrite = "one write", an_attempt_writes_once_whatever_it_is_answered;
            StoredBytes = "stored bytes", the_stored_bytes_arrive_unchanged;
            StoredKey = "stored key", the_key_of_the_attempt_goes_with_it_and_with_its_retry;
            Redirect = "redirect", a_redirect_is_not_followed_and_proves_nothing;
            NotSent = "not sent", a_request_that_never_left_is_known_not_to_have;
            Cut = "cut", a_connection_that_ends_under_a_request_is_unknown;
            HalfYes = "half a yes", a_yes_that_is_not_whole_is_unknown;
            Late = "late", an_answer_that_comes_too_late_is_unknown;
            Yes = "yes", a_yes_is_accepted_with_the_time_of_it;
            OtherYes = "another's yes", a_yes_about_something_else_is_not_accepted;
            Again = "again", the_same_request_again_is_accepted_or_a_duplicate;
            No = "no", a_no_that_looked_at_the_request_is_a_refusal;
            Failure = "failure", a_failure_is_perhaps_processed_whoever_tells_it;
            Stranger = "stranger", a_page_that_is_not_the_providers_proves_nothing;
            Limit = "limit", a_limit_is_told_with_the_wait_that_it_asks_for;
            Key = "key", a_key_that_is_not_accepted_is_told_as_that;
            Secret = "secret", no_key_is_in_a_log_an_error_or_an_answer;
            KeyPlace = "key's place", a_key_is_sent_only_where_it_belongs;
            Payload = "payload", no_payload_is_in_a_log_or_an_answer;
            Bounded = "bounded text", what_an_answer_says_is_short_and_one_line;
            Tiles = "tiles", parts_tile_the_span_and_are_zero_where_nothing_counts;
            Exact = "exact", totals_are_told_to_the_last_digit;
            Grain = "grain", a_span_off_its_grain_is_not_asked_for;
            UnknownTotal = "unknown total", totals_of_an_unknown_meter_are_not_asked_for;
            OtherTotal = "another's total", what_was_not_asked_for_is_no_total;
            End = "end", a_list_without_an_end_is_given_up;
            Counted = "counted", every_request_of_a_reading_is_counted;
            Contact = "contact", first_contact_names_account_and_mode_and_time;
            NoContact = "no contact", first_contact_fails_when_nobody_answers_for_the_key;
            ReadOnly = "read only", an_inspection_only_reads_and_counts_it;
            AllFound = "all found", an_inspection_names_all_that_the_key_may_not_read;
            NoInspection = "no inspection", an_inspection_that_nobody_answers_ends;
            NoProof = "no proof", without_a_secret_no_webhook_is_read;
            ProofFirst = "proof first", a_webhook_without_proof_is_refused_before_it_is_looked_at;
            Silence = "silence", a_refused_webhook_is_not_quoted;
            Nothing = "nothing there", what_is_not_there_is_told_as_nothing;
            OtherObject = "another object", what_was_not_asked_for_is_no_object;
            Circle = "circle", a_page_that_leads_to_itself_is_no_page;
            OddRow = "odd row", a_row_that_makes_no_sense_spoils_no_other;
        }
    };
}

macro_rules! declare {
    (() $($must:ident = $name:literal, $test:ident;)+) => {
        /// One MUST.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Must { $($must,)+ }

        impl Must {
            const ALL: &'static [Self] = &[$(Self::$must,)+];

            /// Its name in the documentation.
            const fn name(self) -> &'static str {
                match self { $(Self::$must => $name,)+ }
            }
        }
    };
}

each_must!(declare);

fn show(must: Must, subject: &'static dyn Subject) {
    let trial = &Trial { subject, must: must.name() };
    if subject.lacks().iter().any(|(lacking, _)| *lacking == must.name()) {
        return;
    }
    match must {
        Must::KnownMeter => promising::known_meter(trial),
        Must::PureEncode => promising::pure_encode(trial),
        Must::NamedMeter => promising::named_meter(trial),
        Must::NamedEvent => promising::named_event(trial),
        Must::OneWrite => sending::one_write(trial),
        Must::StoredBytes => sending::stored_bytes(trial),
        Must::StoredKey => sending::stored_key(trial),
        Must::Redirect => sending::redirect(trial),
        Must::NotSent => sending::not_sent(trial),
        Must::Cut => sending::cut(trial),
        Must::HalfYes => judging::half_a_yes(trial),
        Must::Late => judging::late(trial),
        Must::Yes => judging::yes(trial),
        Must::OtherYes => judging::another_yes(trial),
        Must::Again => judging::again(trial),
        Must::No => judging::no(trial),
        Must::Failure => judging::failure(trial),
        Must::Stranger => judging::stranger(trial),
        Must::Limit => judging::limit(trial),
        Must::Key => judging::key(trial),
        Must::Secret => saying::secret(trial),
        Must::KeyPlace => saying::place_of_a_key(trial),
        Must::Payload => saying::payload(trial),
        Must::Bounded => saying::bounded(trial),
        Must::Tiles => totalling::tiles(trial),
        Must::Exact => totalling::exact(trial),
        Must::Grain => totalling::grain(trial),
        Must::UnknownTotal => totalling::unknown_total(trial),
        Must::OtherTotal => totalling::another_total(trial),
        Must::End => totalling::end(trial),
        Must::Counted => totalling::counted(trial),
        Must::Contact => meeting::contact(trial),
        Must::NoContact => meeting::no_contact(trial),
        Must::ReadOnly => inspecting::read_only(trial),
        Must::AllFound => inspecting::all_found(trial),
        Must::NoInspection => inspecting::no_inspection(trial),
        Must::NoProof => noticing::no_proof(trial),
        Must::ProofFirst => noticing::proof_first(trial),
        Must::Silence => noticing::silence(trial),
        Must::Nothing => billing::nothing_there(trial),
        Must::OtherObject => billing::another_object(trial),
        Must::Circle => billing::circle(trial),
        Must::OddRow => billing::odd_row(trial),
    }
}

/// The MUSTs of the documentation: the name and the sentence of each.
fn documented() -> Vec<(String, String)> {
    let text = include_str!("../../src/provider/mod.rs");
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let mut items: Vec<String> = Vec::new();
    let mut inside = false;
    for line in lines.map(str::trim) {
        if line.starts_with("* **") {
            items.push(line.to_owned());
            inside = true;
        } else if line.is_empty() {
            inside = false;
        } else if inside && let Some(item) = items.last_mut() {
            item.push(' ');
            item.push_str(line);
        }
    }
    let cut = |item: &String| {
        let (name, sentence) = item.strip_prefix("* **")?.split_once("**: ")?;
        Some((name.to_owned(), sentence.to_owned()))
    };
    items.iter().map(|item| cut(item).unwrap_or_else(|| panic!("no MUST: {item}"))).collect()
}

#[test]
fn every_must_of_the_documentation_is_shown_and_every_shown_one_documented() {
    let documented = documented();
    let names: Vec<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    let shown: Vec<&str> = Must::ALL.iter().map(|must| must.name()).collect();
    assert_eq!(names, shown);
}

#[test]
fn every_must_is_one_sentence_that_says_must() {
    for (name, sentence) in documented() {
        assert!(sentence.contains("MUST"), "{name}: {sentence}");
        let within = sentence.strip_suffix('.').unwrap_or_else(|| panic!("{name}: {sentence}"));
        assert!(!within.contains(". "), "{name}: {sentence}");
    }
}

#[test]
fn every_room_of_a_provider_is_shown_to_do_what_it_must() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let rooms = entries.filter(|entry| entry.path().is_dir());
    let mut rooms: Vec<String> =
        rooms.map(|room| room.file_name().into_string().unwrap()).collect();
    rooms.sort();
    let mut shown: Vec<&str> = SUBJECTS.iter().map(|subject| subject.room()).collect();
    shown.sort_unstable();
    // Some have several ways.
    shown.dedup();
    assert_eq!(rooms, shown);
}

#[test]
fn what_a_room_cannot_be_asked_for_is_a_must_and_has_a_reason() {
    for subject in SUBJECTS {
        for (lacking, why) in subject.lacks() {
            assert!(Must::ALL.iter().any(|must| must.name() == *lacking), "{lacking}");
            assert!(why.split(' ').count() > 3, "{lacking}: {why}");
        }
    }
}

/// A test of each MUST for one room.
macro_rules! tests_of {
    (($of:ident $subject:path) $($must:ident = $name:literal, $test:ident;)+) => {
        mod $of {
            $(
                #[test]
                fn $test() {
                    super::show(super::Must::$must, &$subject);
                }
            )+
        }
    };
}

each_must!(tests_of of_stripe super::stripe::V1);
each_must!(tests_of of_stripe_by_version_2 super::stripe::V2);
each_must!(tests_of of_stripe_by_its_stream super::stripe::STREAM);
each_must!(tests_of of_chargebee super::chargebee::Site);
each_must!(tests_of of_usage_events super::usage_events::Site);
each_must!(tests_of of_cryptolens super::cryptolens::Records);
each_must!(tests_of of_planship super::planship::Reports);
