//! Cron text. Here: what is read comes due, each time later than the last. Never here: what is done
//! then. Read next: `classify`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::time::Timestamp;
use tallyd::schedule::Schedule;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(schedule) = Schedule::parse(text) else { return };
    assert_eq!(schedule.as_str(), text);
    assert!(Schedule::parse(schedule.as_str()).is_ok());
    let mut now = Timestamp::from_seconds(1_790_000_000);
    for _ in 0..3 {
        let Some(next) = schedule.next_after(now) else { return };
        assert!(next > now, "{text} comes due in the past");
        now = next;
    }
});
