//! What one lane carries. PURE. Here: how many records a day one account can be told where each is
//! an event of its own, and which accounts come near that, in words. Never here: counting them.
//! Read next: [`super::outlook`].
//!
//! Stripe takes one event at a time of a customer and meter: the next one goes once the one before
//! is answered. So however high the rate of the account, a customer's lane is as fast as an answer
//! takes to come.

use super::words;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::ledger::report::{LaneLoad, LaneLoads};

/// How long an answer takes where none was seen yet, in microseconds: a third of a second, on the
/// slow side of what is told of Stripe's.
const ANSWER_MICROS: i64 = MICROS_PER_SECOND / 3;
/// An account is named from this share of what a lane carries on, in percent: a day that is busier
/// by half is then still carried.
const NAMED_PERCENT: i64 = 60;
/// Most accounts that are named.
const NAMED_MAX: usize = 10;

/// What is to be said of lanes that carry each record by itself.
pub(crate) fn outlook(loads: &LaneLoads) -> Vec<String> {
    let answer = loads.answer_micros.unwrap_or(ANSWER_MICROS).max(1);
    let a_day = MICROS_PER_DAY / answer;
    let seen = match loads.answer_micros {
        Some(_) => "as lately",
        None => "as is assumed, since none was seen yet",
    };
    let mut said = vec![format!(
        "each record is an event where `window` is \"record\", and a customer's go one after \
         another: with an answer every {} ms, {seen}, {a_day} a day",
        (answer / 1_000).max(1)
    )];
    let near = |load: &&LaneLoad| load.busiest_day.saturating_mul(100) / a_day >= NAMED_PERCENT;
    let mut near: Vec<&LaneLoad> = loads.loads.iter().filter(near).collect();
    near.sort_by_key(|load| (-load.busiest_day, &load.account, &load.meter));
    for load in near.iter().take(NAMED_MAX) {
        let LaneLoad { account, meter, busiest_day } = load;
        let records = words::counted(*busiest_day, "record");
        let share = busiest_day.saturating_mul(100) / a_day;
        let advice = if *busiest_day > a_day {
            ": they are told later and later; sum them up before, with a longer `window`"
        } else {
            ""
        };
        said.push(format!(
            "{account}, \"{meter}\": {records} on the busiest day, {share} % of that{advice}"
        ));
    }
    if near.len() > NAMED_MAX {
        said.push(format!("and {} more come as near to it", near.len() - NAMED_MAX));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::{AccountName, ProviderMeter};

    fn load(account: &str, busiest_day: i64) -> LaneLoad {
        let meter = ProviderMeter::new("calls").unwrap();
        LaneLoad { account: AccountName::new(account).unwrap(), meter, busiest_day }
    }

    #[test]
    fn a_lane_carries_as_many_records_a_day_as_answers_come_in_one() {
        let loads = LaneLoads { loads: Vec::new(), answer_micros: None };
        assert_eq!(
            outlook(&loads),
            ["each record is an event where `window` is \"record\", and a customer's go one \
                 after another: with an answer every 333 ms, as is assumed, since none was seen \
                 yet, 259200 a day"]
        );
    }

    #[test]
    fn who_comes_near_that_is_named_the_busiest_first() {
        let loads = vec![load("cus_1", 519_999), load("cus_2", 600_000), load("cus_3", 900_000)];
        let said = outlook(&LaneLoads { loads, answer_micros: Some(100_000) });
        assert_eq!(
            said[1..],
            [
                "cus_3, \"calls\": 900000 records on the busiest day, 104 % of that: they are told \
                 later and later; sum them up before, with a longer `window`",
                "cus_2, \"calls\": 600000 records on the busiest day, 69 % of that",
                "cus_1, \"calls\": 519999 records on the busiest day, 60 % of that",
            ]
        );
        let many = (0..12).map(|number| load(&format!("cus_{number}"), 700_000)).collect();
        let said = outlook(&LaneLoads { loads: many, answer_micros: Some(100_000) });
        assert_eq!((said.len(), said[11].as_str()), (12, "and 2 more come as near to it"));
    }
}
