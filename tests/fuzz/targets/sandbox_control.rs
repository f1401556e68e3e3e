//! The stand-in's control. Here: no body makes it stumble, and it goes on afterwards. Never here:
//! forms. Read next: `names`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd_fuzz::World;

const PATHS: [&str; 8] = [
    "/_sandbox/faults",
    "/_sandbox/clock",
    "/_sandbox/meters",
    "/_sandbox/settings",
    "/_sandbox/answers",
    "/_sandbox/events",
    "/_sandbox/books",
    "/_sandbox/statistics",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let world = World::new();
    let path = PATHS[usize::from(choice & 7)];
    let (query, body) = if choice & 8 == 0 { (&[][..], body) } else { (body, &[][..]) };
    let Ok(query) = str::from_utf8(query) else { return };
    let (status, answer) = world.ask(choice & 16 != 0, path, query, body).expect("an answer");
    assert!(status < 500, "{}", String::from_utf8_lossy(&answer));
    let event = b"event_name=calls&payload[value]=1&payload[stripe_customer_id]=cus_1";
    // It may be slow, held or faulty now, as it was told to be; it must not panic.
    drop(world.ask(false, "/v1/billing/meter_events", "", event));
    let (status, _) = world.ask(true, "/_sandbox/books", "", b"").expect("the books");
    assert_eq!(status, 200);
});
