//! Cadences as they come in life, each from its first record on.

use proptest::prelude::*;

use super::*;
use crate::domain::time::MICROS_PER_SECOND;

/// A Monday, at midnight.
const MONDAY: Timestamp = Timestamp::from_seconds(1_767_571_200);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn web() -> SourceName {
    SourceName::new("web").unwrap()
}

/// Seconds since the first Monday.
fn at(seconds: i64) -> Timestamp {
    MONDAY.plus_seconds(seconds)
}

/// What is learned of arrivals at these seconds.
fn cadence(arrivals: impl IntoIterator<Item = i64>, absences: &Absences) -> Cadence {
    let mut arrivals = arrivals.into_iter();
    let mut cadence = Cadence::begun(web(), at(arrivals.next().unwrap()));
    for each in arrivals {
        cadence.hear(at(each), &web(), absences);
    }
    cadence
}

fn voice(cadence: Cadence) -> Voice {
    Voice { speaker: Speaker::source(&web()), cadence, told_at: None }
}

/// Whether the source `web` is called silent at these seconds.
fn is_silent(cadence: &Cadence, now: i64, absences: &Absences) -> bool {
    let heard = Heard {
        listened_at: Some(at(now)),
        unread_from: None,
        absences: absences.clone(),
        voices: vec![voice(cadence.clone())],
    };
    !silences(&heard, &Terms::default(), at(now)).is_empty()
}

/// Steps through the arrivals and tells at which seconds, looked at each half an hour until `end`,
/// a silence begins.
fn begins(arrivals: &[i64], end: i64) -> Vec<i64> {
    let absences = Absences::default();
    let mut cadence = Cadence::begun(web(), at(arrivals[0]));
    let (mut next, mut was, mut begun) = (1, false, Vec::new());
    for now in (arrivals[0]..end).step_by(1_800) {
        while next < arrivals.len() && arrivals[next] <= now {
            cadence.hear(at(arrivals[next]), &web(), &absences);
            next += 1;
        }
        let is = is_silent(&cadence, now, &absences);
        if is && !was {
            begun.push(now);
        }
        was = is;
    }
    begun
}

/// A batch each night from two on: a record every ten seconds for twenty minutes.
fn nightly(days: std::ops::Range<i64>) -> Vec<i64> {
    let run = |day: i64| (0..120).map(move |each| day * DAY + 2 * HOUR + each * 10);
    days.flat_map(run).collect()
}

fn hourly(from: i64, to: i64) -> Vec<i64> {
    (from..to).step_by(3_600).collect()
}

#[test]
fn an_hourly_source_that_dies_is_told_of_within_three_hours() {
    let died = 24 * DAY;
    let begun = begins(&hourly(0, died), 40 * DAY);
    assert_eq!(begun.len(), 1);
    assert!((died..=died + 3 * HOUR).contains(&begun[0]), "{begun:?}");
}

#[test]
fn a_source_that_never_rests_is_told_of_after_the_floor() {
    let arrivals: Vec<i64> = (0..22 * DAY).step_by(30).collect();
    let begun = begins(&arrivals, 23 * DAY);
    assert_eq!(begun, [22 * DAY + HOUR]);
}

#[test]
fn a_nightly_batch_alarms_on_no_night_and_two_days_after_its_last() {
    let begun = begins(&nightly(0..60), 70 * DAY);
    assert_eq!(begun.len(), 1, "{begun:?}");
    let last = 59 * DAY + 2 * HOUR;
    assert!((last + 47 * HOUR..last + 49 * HOUR).contains(&begun[0]), "{begun:?}");
}

#[test]
fn a_weekly_batch_alarms_in_no_week_and_in_the_second_that_it_misses() {
    let weekly: Vec<i64> = (0..12).map(|week| week * 7 * DAY + 3 * HOUR).collect();
    let begun = begins(&weekly, 120 * DAY);
    assert_eq!(begun.len(), 1);
    let missed = 12 * 7 * DAY + 3 * HOUR;
    assert!((missed..=missed + 8 * DAY).contains(&begun[0]), "{begun:?}");
}

#[test]
fn a_pause_that_comes_each_weekend_is_no_silence_from_the_first_one_on() {
    for first_day in 0..7 {
        let works = |hour: &i64| {
            let (day, hour) = (hour / 24, hour % 24);
            day >= first_day && day % 7 < 5 && (8..18).contains(&hour)
        };
        let arrivals: Vec<i64> = (0..70 * 24).filter(works).map(|hour| hour * HOUR).collect();
        let begun = begins(&arrivals, arrivals.last().unwrap() + HOUR);
        assert_eq!(begun, [0; 0], "from {first_day}");
    }
}

#[test]
fn an_outage_that_was_mended_is_not_the_custom_afterwards() {
    let died = 60 * DAY;
    let mut arrivals = hourly(0, 30 * DAY);
    arrivals.extend(hourly(33 * DAY, died));
    let begun = begins(&arrivals, 70 * DAY);
    assert_eq!(begun.len(), 2, "{begun:?}");
    assert!((30 * DAY..=30 * DAY + 3 * HOUR).contains(&begun[0]), "{begun:?}");
    assert!((died..=died + 3 * HOUR).contains(&begun[1]), "{begun:?}");
}

#[test]
fn what_came_once_or_is_new_is_never_called_silent() {
    let once: Vec<i64> = (0..6 * HOUR).step_by(7).collect();
    assert_eq!(begins(&once, 90 * DAY), [0; 0]);
    // A new source of a week and more may be about anything.
    assert_eq!(begins(&hourly(0, 9 * DAY), 90 * DAY), [0; 0]);
    assert_eq!(begins(&[0], 90 * DAY), [0; 0]);
}

#[test]
fn time_in_which_nobody_listened_is_neither_a_gap_nor_a_silence() {
    let down = Window { start: at(24 * DAY), end: at(26 * DAY) };
    let absences = Absences(vec![down]);
    let before = cadence(hourly(0, 24 * DAY), &absences);
    assert!(!is_silent(&before, 26 * DAY, &absences));
    assert!(is_silent(&before, 26 * DAY + 2 * HOUR, &absences));
    assert!(is_silent(&before, 26 * DAY, &Absences::default()));
    let mut arrivals = hourly(0, 24 * DAY);
    arrivals.extend(hourly(26 * DAY, 40 * DAY));
    let after = cadence(arrivals, &absences);
    assert_eq!(after.learned(), Some(HOUR * MICROS_PER_SECOND));
}

#[test]
fn nobody_is_silent_past_what_was_read_or_listened_to() {
    let mut heard = Heard {
        listened_at: Some(at(25 * DAY)),
        voices: vec![voice(cadence(hourly(0, 24 * DAY), &Absences::default()))],
        ..Heard::default()
    };
    let count = |heard: &Heard, now| silences(heard, &Terms::default(), at(now)).len();
    assert_eq!(count(&heard, 25 * DAY), 1);
    // What has arrived and is not read may be its.
    heard.unread_from = Some(at(24 * DAY + HOUR));
    assert_eq!(count(&heard, 25 * DAY), 0);
    // Nobody has listened since an hour after it was heard.
    heard = Heard { listened_at: Some(at(24 * DAY)), unread_from: None, ..heard };
    assert_eq!(count(&heard, 90 * DAY), 0);
    heard.listened_at = None;
    assert_eq!(count(&heard, 90 * DAY), 0);
}

#[test]
fn what_is_said_of_a_source_goes_before_what_was_learned() {
    let heard = |cadence: Cadence, now| Heard {
        listened_at: Some(at(now)),
        voices: vec![voice(cadence)],
        ..Heard::default()
    };
    let said = |micros| Terms { said: BTreeMap::from([(web(), micros)]), ..Terms::default() };
    let fresh = heard(cadence([0], &Absences::default()), HOUR);
    assert_eq!(silences(&fresh, &said(600 * MICROS_PER_SECOND), at(HOUR)).len(), 1);
    let old = heard(cadence(hourly(0, 24 * DAY), &Absences::default()), 30 * DAY);
    assert_eq!(silences(&old, &Terms::default(), at(30 * DAY)).len(), 1);
    assert_eq!(silences(&old, &said(8 * MICROS_PER_DAY), at(30 * DAY)), []);
}

#[test]
fn a_meter_of_a_source_that_speaks_is_another_finding_than_one_of_a_dead_source() {
    let meter = Speaker::meter(&MeterName::new("calls").unwrap());
    let customer = Speaker::customer(&CustomerName::new("acme").unwrap());
    let quiet = cadence(hourly(0, 24 * DAY), &Absences::default());
    let speaks = cadence(hourly(0, 25 * DAY), &Absences::default());
    let heard = |source: &Cadence| Heard {
        listened_at: Some(at(25 * DAY)),
        voices: vec![
            Voice { speaker: customer.clone(), cadence: quiet.clone(), told_at: None },
            Voice { speaker: meter.clone(), cadence: quiet.clone(), told_at: None },
            voice(source.clone()),
        ],
        ..Heard::default()
    };
    let found = |source: &Cadence, terms: &Terms| -> Vec<(SpeakerKind, bool)> {
        let silences = silences(&heard(source), terms, at(25 * DAY));
        silences.iter().map(|each| (each.speaker.kind, each.source_is_silent)).collect()
    };
    let all = Terms { kinds: SpeakerKind::ALL.iter().copied().collect(), ..Terms::default() };
    let (source, meters, customers) =
        (SpeakerKind::Source, SpeakerKind::Meter, SpeakerKind::Customer);
    assert_eq!(found(&speaks, &all), [(meters, false), (customers, false)]);
    assert_eq!(found(&quiet, &all), [(source, false), (meters, true), (customers, true)]);
    // Who is not told of explains nothing; whose silence is accepted takes the others along.
    let no_sources = Terms { kinds: BTreeSet::from([meters, customers]), ..Terms::default() };
    assert_eq!(found(&quiet, &no_sources), [(meters, false), (customers, false)]);
    let accepted = BTreeSet::from([Speaker::source(&web())]);
    assert_eq!(found(&quiet, &Terms { accepted, ..all.clone() }), []);
    let accepted = BTreeSet::from([meter.clone()]);
    assert_eq!(found(&speaks, &Terms { accepted, ..all }), [(customers, false)]);
}

#[test]
fn a_clock_that_was_set_back_is_followed_and_disorder_is_not() {
    let mut cadence = Cadence::begun(web(), at(10 * DAY));
    assert!(!cadence.hear(at(10 * DAY - 1_800), &web(), &Absences::default()));
    assert!(cadence.hear(at(0), &web(), &Absences::default()));
    assert_eq!((cadence.heard_at, cadence.gaps.len()), (at(0), 0));
}

#[test]
fn a_short_break_of_the_notes_is_no_absence() {
    assert_eq!(absence(at(0), at(180)), None);
    assert_eq!(absence(at(0), at(181)), Some(Window { start: at(0), end: at(181) }));
    assert_eq!(absence(at(100), at(0)), None);
}

proptest! {
    /// However arrivals come, what is kept is bounded, what is learned is a gap that was seen (or a
    /// grain more), and the order within a minute changes nothing.
    #[test]
    fn what_is_kept_is_bounded_and_what_is_learned_was_seen(
        gaps in proptest::collection::vec(1_i64..20 * DAY, 1..200)
    ) {
        let mut arrivals = vec![0];
        for gap in &gaps {
            arrivals.push(arrivals.last().unwrap() + gap);
        }
        let cadence = cadence(arrivals.iter().copied(), &Absences::default());
        prop_assert!(cadence.gaps.len() <= WEEKS_KEPT);
        prop_assert!(cadence.gaps.windows(2).all(|pair| pair[0].0 < pair[1].0));
        if let Some(learned) = cadence.learned() {
            let longest = gaps.iter().max().unwrap() * MICROS_PER_SECOND;
            prop_assert!(learned > 0 && learned <= longest + GRAIN_MICROS);
        }
        let last = at(*arrivals.last().unwrap());
        prop_assert!(last.micros_since(cadence.heard_at) < GRAIN_MICROS);
    }

    /// A source that keeps to its cadence, whatever that is, is never called silent.
    #[test]
    fn whoever_keeps_a_cadence_is_never_called_silent(
        every in 1_i64..3 * DAY, jitter in proptest::collection::vec(0_i64..100, 60..200)
    ) {
        let jittered = |(index, percent): (usize, &i64)| {
            i64::try_from(index).unwrap() * every + every * percent / 1_000
        };
        let arrivals: Vec<i64> = jitter.iter().enumerate().map(jittered).collect();
        prop_assert_eq!(begins(&arrivals, *arrivals.last().unwrap()), Vec::<i64>::new());
    }
}
