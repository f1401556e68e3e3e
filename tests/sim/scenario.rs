//! What happens in a run, and in which order. Here: the swarm, in which chance decides alone, and
//! the directed scenarios, in which faults come in the compounds that hurt. Never here: how a thing
//! is done (see [`crate::world`]). Read next: [`crate::run`].

use crate::auditor::Violation;
use crate::faults::Class;
use crate::process::Part;
use crate::server::{Counter, DAY, HOUR, Keeps, MINUTE, SECOND};
use crate::workload::{self, Meters};
use crate::world::{MONTH, World};

/// How a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Chance alone.
    Swarm,
    /// Chance, with compounds of faults among it.
    Directed,
    /// Chance, while the provider bills by periods that end within hours.
    Months,
    /// As [`Self::Months`], at a provider that keeps entries.
    Site,
    /// As [`Self::Site`], where of most prices' entries one counts.
    Levels,
    /// As [`Self::Months`], where most meters keep of each hour the total that they received last.
    Totals,
    /// As [`Self::Months`], where most meters bill the newest reading of a period.
    Gauges,
    /// Chance alone, while another program told the provider before, and this one takes over.
    Cutover,
    /// As [`Self::Months`], where what the stream takes goes by it, many events a request, and one
    /// meter is told how many distinct values each window has.
    Stream,
    /// Chance alone, at a provider that only counts, and recognises nothing.
    Records,
    /// As [`Self::Records`], at one that is told by reports.
    Reports,
}

impl Scenario {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Directed => "directed",
            Self::Months => "months",
            Self::Site => "site",
            Self::Levels => "levels",
            Self::Totals => "totals",
            Self::Gauges => "gauges",
            Self::Cutover => "cutover",
            Self::Stream => "stream",
            Self::Records => "records",
            Self::Reports => "reports",
        }
    }

    /// The scenario of this name.
    pub(crate) fn named(name: &str) -> Self {
        let billed =
            [Self::Months, Self::Site, Self::Levels, Self::Totals, Self::Gauges, Self::Stream];
        let all = [Self::Swarm, Self::Directed, Self::Cutover, Self::Records, Self::Reports];
        let all = all.into_iter().chain(billed);
        all.into_iter().find(|scenario| scenario.name() == name).unwrap_or(Self::Swarm)
    }

    /// Whether anything is billed.
    pub(crate) const fn bills(self) -> bool {
        match self {
            Self::Swarm | Self::Directed | Self::Cutover | Self::Records | Self::Reports => false,
            Self::Months
            | Self::Site
            | Self::Levels
            | Self::Totals
            | Self::Gauges
            | Self::Stream => true,
        }
    }

    /// What its provider keeps.
    pub(crate) const fn keeps(self) -> Keeps {
        match self {
            Self::Swarm
            | Self::Directed
            | Self::Months
            | Self::Totals
            | Self::Gauges
            | Self::Cutover
            | Self::Stream => Keeps::Events,
            Self::Site | Self::Levels => Keeps::Entries,
            Self::Records => Keeps::Counts(Counter::Cryptolens),
            Self::Reports => Keeps::Counts(Counter::Planship),
        }
    }

    /// Its provider's meters.
    pub(crate) const fn meters(self) -> Meters {
        match self {
            Self::Swarm | Self::Directed | Self::Months | Self::Cutover => &workload::METERS,
            Self::Stream => &workload::STREAM_METERS,
            Self::Site | Self::Records | Self::Reports => &workload::ITEM_PRICES,
            Self::Levels => &workload::LEVEL_PRICES,
            Self::Totals => &workload::TOTAL_METERS,
            Self::Gauges => &workload::GAUGE_METERS,
        }
    }
}

/// Steps between two verifications of the whole ledger.
const VERIFIED_EVERY: u64 = 16;
/// Steps between two compounds of faults in a directed run.
const COMPOUND_EVERY: u64 = 12;
/// Days without faults at the end of a run.
const CALM_DAYS: i64 = 40;
/// Days of them that people leave it to the program to end what it holds.
const PATIENT_DAYS: i64 = 4;
/// Looks at each lane, at the most, until what was told late, by a person's word, is proven: a look
/// reads one stretch of a lane, and each stretch twice.
const LAST_LOOKS: u32 = 24;

/// Runs `scenario` for `steps` steps, then lets everything come to rest.
pub(crate) async fn play(
    world: &mut World,
    scenario: Scenario,
    steps: u64,
) -> Result<(), Violation> {
    if world.months {
        world.routes = world.with_late(world.routes.clone());
    }
    for route in world.routes.clone() {
        world.auditor.configured(&route);
    }
    for step in 0..steps {
        world.note(format!("step {step}"));
        if scenario == Scenario::Directed && step % COMPOUND_EVERY == 2 {
            compound(world).await?;
        }
        weather(world).await;
        world.take_over().await;
        if world.months {
            world.turn_over();
            world.carry_webhooks().await;
        }
        if step >= steps - steps / 4 {
            older_ledger(world).await;
        }
        work(world).await;
        world.auditor.audit().await?;
        if step % VERIFIED_EVERY == VERIFIED_EVERY - 1 {
            verify(world).await?;
        }
    }
    rest(world).await
}

async fn verify(world: &mut World) -> Result<(), Violation> {
    match world.verify().await.into_iter().next() {
        Some(what) => Err(Violation { invariant: "ledger-verify", what }),
        None => Ok(()),
    }
}

/// How much time passes before a step.
fn pause(world: &mut World) -> i64 {
    // The program looks every few seconds: what it does not look at for hours is downtime.
    if world.months {
        return match world.chance.below(20) {
            0..=9 => world.chance.between(SECOND, 2 * MINUTE),
            10..=17 => world.chance.between(2 * MINUTE, 20 * MINUTE),
            _ => world.chance.between(20 * MINUTE, 2 * HOUR),
        };
    }
    match world.chance.below(20) {
        0..=9 => world.chance.between(SECOND, 2 * MINUTE),
        10..=15 => world.chance.between(2 * MINUTE, HOUR),
        _ => world.chance.between(HOUR, 5 * HOUR),
    }
}

/// Lets time pass, and what goes wrong by itself.
async fn weather(world: &mut World) {
    let pause = pause(world);
    world.pass(pause);
    let struck = |world: &World, class, bound| world.stage.scene().faults.strikes(class, bound);
    let drawn =
        |world: &World, class, from, to| world.stage.scene().faults.stream(class).between(from, to);
    if struck(world, Class::Outage, 6) {
        let lasts = drawn(world, Class::Outage, 5 * MINUTE, 6 * HOUR);
        let mut scene = world.stage.scene();
        scene.episodes.outage = scene.server.now + lasts;
    }
    if struck(world, Class::LongOutage, 6) {
        let lasts = drawn(world, Class::LongOutage, 24 * HOUR, 60 * HOUR);
        let mut scene = world.stage.scene();
        scene.episodes.outage = scene.server.now + lasts;
    }
    if struck(world, Class::KeyRefused, 5) {
        let lasts = drawn(world, Class::KeyRefused, MINUTE, 4 * HOUR);
        let mut scene = world.stage.scene();
        scene.episodes.key_refused = scene.server.now + lasts;
    }
    if struck(world, Class::RateStorm, 8) {
        let lasts = drawn(world, Class::RateStorm, MINUTE, HOUR);
        let mut scene = world.stage.scene();
        scene.episodes.rate_storm = scene.server.now + lasts;
    }
    if struck(world, Class::Downtime, 6) {
        let lasts = drawn(world, Class::Downtime, HOUR, 30 * HOUR);
        world.kill();
        world.pass(lasts);
    }
    if struck(world, Class::Month, 7) {
        world.kill();
        world.pass(MONTH);
    }
    if struck(world, Class::ClockStep, 6) {
        let by = drawn(world, Class::ClockStep, -40 * HOUR, 40 * HOUR);
        world.step_clock(by).await;
    }
    if struck(world, Class::ClockDrift, 5) {
        let gains = drawn(world, Class::ClockDrift, -20 * SECOND, 20 * SECOND);
        world.drift(gains);
    }
    if struck(world, Class::LaggingTotals, 5) {
        // No further than what a provider promises.
        let most = if world.keeps() == Keeps::Entries { HOUR - MINUTE } else { 4 * HOUR };
        let lag = drawn(world, Class::LaggingTotals, 0, most);
        world.stage.scene().server.lag = lag;
    }
    // A record that is sent again after a loss has to go the way that it went.
    let copied = world.has_copy();
    if !copied && struck(world, Class::Routes, 5) {
        let (keeps, meters) = (world.keeps(), world.scenario.meters());
        let routes = workload::changed_routes(
            keeps,
            meters,
            world.stage.scene().faults.stream(Class::Routes),
        );
        let routes = world.with_late(routes);
        world.reconfigure(routes).await;
        if struck(world, Class::Remap, 2) {
            world.remap().await;
        }
    }
}

/// Late in a run, the ledger is copied, and the copy put back in its place.
async fn older_ledger(world: &mut World) {
    if !world.stage.scene().faults.has(Class::OlderLedger) {
        return;
    }
    if !world.has_copy() {
        world.back_up().await;
    } else if world.stage.scene().faults.stream(Class::OlderLedger).one_in(2) {
        world.roll_back().await;
    }
}

/// What people, sources and the process do in a step.
async fn work(world: &mut World) {
    if !world.start().await {
        return;
    }
    if let Some(customer) = world.sources.not_imported() {
        let late = world.stage.scene().faults.strikes(Class::AccountLate, 2);
        if !late {
            world.import(customer).await;
        }
    }
    if world.chance.percent(60) {
        world.intake().await;
    }
    if world.chance.percent(50) {
        world.correct().await;
    }
    if world.chance.one_in(6) {
        world.decide().await;
    }
    world.catch_up().await;
    tick(world).await;
}

/// What the process does by itself: each part a few times.
pub(crate) async fn tick(world: &mut World) {
    for _ in 0..world.chance.between(1, 3) {
        for part in world.parts() {
            if world.chance.one_in(6) {
                continue;
            }
            let mut rounds = world.chance.between(1, 4);
            while rounds > 0 && world.step(*part).await {
                rounds -= 1;
                let passes = world.chance.between(1, 2 * SECOND);
                world.pass(passes);
            }
            if !world.is_up() && !world.start().await {
                return;
            }
        }
    }
}

/// A compound of faults, one after the other.
async fn compound(world: &mut World) -> Result<(), Violation> {
    world.start().await;
    world.intake().await;
    match world.chance.below(5) {
        0 => unknown_through_an_outage(world).await?,
        1 => {
            // Requests are on their way when the process ends for long.
            mute(world, HOUR);
            tick(world).await;
            world.kill();
            let lasts = world.chance.between(10 * HOUR, 60 * HOUR);
            world.stage.scene().faults.count(Class::Downtime);
            world.pass(lasts);
            world.start().await;
            tick(world).await;
        }
        2 => {
            // What is unknown is told to wait, and only then recognised.
            mute(world, 10 * MINUTE);
            tick(world).await;
            world.pass(10 * MINUTE);
            {
                let mut scene = world.stage.scene();
                scene.faults.count(Class::RateStorm);
                scene.episodes.rate_storm = scene.server.now + 20 * MINUTE;
            }
            tick(world).await;
            world.auditor.audit().await?;
            world.pass(20 * MINUTE);
            tick(world).await;
        }
        3 => {
            // Corrections of what nobody knows the fate of.
            tick(world).await;
            mute(world, 30 * MINUTE);
            world.intake().await;
            tick(world).await;
            world.correct().await;
            tick(world).await;
            world.auditor.audit().await?;
            world.pass(30 * MINUTE);
            world.correct().await;
            tick(world).await;
        }
        _ => steady_work(world).await?,
    }
    world.auditor.audit().await
}

/// Everything that is sent is processed, and no answer arrives.
fn mute(world: &World, lasts: i64) {
    let mut scene = world.stage.scene();
    scene.episodes.mute = scene.server.now + lasts;
}

/// Answers are lost, then the provider is away for more than a day, then the clock steps.
async fn unknown_through_an_outage(world: &mut World) -> Result<(), Violation> {
    mute(world, HOUR);
    tick(world).await;
    let lasts = world.chance.between(20 * HOUR, 50 * HOUR);
    {
        let mut scene = world.stage.scene();
        scene.faults.count(Class::LongOutage);
        scene.episodes.outage = scene.server.now + lasts;
    }
    world.pass(lasts / 2);
    tick(world).await;
    world.auditor.audit().await?;
    if world.chance.one_in(2) {
        let by = world.chance.between(-40 * HOUR, 40 * HOUR);
        world.stage.scene().faults.count(Class::ClockStep);
        world.step_clock(by).await;
    }
    world.pass(lasts / 2 + MINUTE);
    tick(world).await;
    Ok(())
}

/// Steady work for more than a day: nothing that is unknown may be passed over.
async fn steady_work(world: &mut World) -> Result<(), Violation> {
    mute(world, 5 * MINUTE);
    for _ in 0..24 {
        tick(world).await;
        let passes = world.chance.between(40 * MINUTE, 75 * MINUTE);
        world.pass(passes);
        world.start().await;
        if world.chance.percent(80) {
            world.intake().await;
        }
        tick(world).await;
        world.auditor.audit().await?;
    }
    Ok(())
}

/// The faults end, every cause of waiting is removed, and everything is told.
async fn rest(world: &mut World) -> Result<(), Violation> {
    {
        let mut scene = world.stage.scene();
        scene.faults.off = true;
        scene.episodes = crate::scene::Episodes::default();
    }
    world.drift(0);
    world.start().await;
    while let Some(customer) = world.sources.not_imported() {
        world.import(customer).await;
    }
    world.send_rest().await;
    world.catch_up().await;
    world.go_live().await;
    // What was sent goes the way that is configured, before another is.
    while world.step(Part::Accrual).await {}
    world.reconfigure(workload::all_routes(world.keeps(), world.scenario.meters())).await;
    // Clocks that were wrong are right again, as far as they ever are.
    world.right_clock();
    world.kill();
    world.start().await;
    let mut passed = 0;
    while passed < CALM_DAYS * DAY {
        // Densely at first, while what is unknown is still recognised; then ever more rarely.
        let pause = (6 * MINUTE).max(passed / 2);
        world.pass(pause);
        passed += pause;
        if passed > PATIENT_DAYS * DAY {
            world.decide().await;
        }
        work_off(world).await?;
    }
    for _ in 0..LAST_LOOKS {
        if !world.auditor.awaits_proof() {
            break;
        }
        world.pass(8 * HOUR);
        work_off(world).await?;
    }
    verify(world).await?;
    world.auditor.audit_end().await?;
    if world.months { world.report().await } else { Ok(()) }
}

/// Every part works until it has nothing to do. Twice: posting waits for a reading of the
/// provider's clock, which delivery takes.
async fn work_off(world: &mut World) -> Result<(), Violation> {
    if world.months {
        world.carry_webhooks().await;
    }
    for part in world.parts().iter().chain(world.parts()) {
        let mut rounds = 0;
        while world.step(*part).await && rounds < 200 {
            rounds += 1;
            world.pass(SECOND);
        }
    }
    world.auditor.audit().await
}
