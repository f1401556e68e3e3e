//! The stand-in for Stripe: forms. Here: no form makes it stumble, or count what it did not accept.
//! Never here: its control. Read next: `sandbox_control`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd_fuzz::World;

const PATHS: [&str; 6] = [
    "/v1/billing/meter_events",
    "/v1/billing/meter_event_adjustments",
    "/v1/billing/meters",
    "/v1/billing/meters/mtr_test_1",
    "/v1/billing/meters/mtr_test_1/event_summaries",
    "/v1/account",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let world = World::new();
    let path = PATHS[usize::from(choice & 7) % PATHS.len()];
    let (query, body) = if choice & 8 == 0 { (&[][..], body) } else { (body, &[][..]) };
    let Ok(query) = str::from_utf8(query) else { return };
    for _ in 0..2 {
        let Some((status, answer)) = world.ask(choice & 16 != 0, path, query, body) else { return };
        assert!(status < 500, "{}", String::from_utf8_lossy(&answer));
        assert!(serde_json::from_slice::<serde_json::Value>(&answer).is_ok());
    }
    let statistics = world.handle.statistics();
    let counted: u64 = world.handle.books().iter().map(|line| line.events).sum();
    assert!(counted <= statistics.meter_events_accepted);
});
