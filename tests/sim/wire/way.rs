//! What becomes of a request on its way to the provider, and of its answer. Never here: what the
//! provider makes of one that arrives (see [`crate::server`]), or the program of its answer (see
//! [`super::answer`]). Read next: [`crate::faults`].

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::Says;
use tallyd::provider::Request;

use crate::faults::Class;
use crate::scene::Scene;
use crate::server::{DAY, HOUR, Keeps, MINUTE, Reply, SECOND, Saying, Straggler};

/// What becomes of a request on its way.
#[derive(Clone)]
enum Way {
    /// It arrives, and so does its answer.
    Clear,
    /// Nothing left this host.
    NotConnected,
    /// It arrives; the answer does not.
    LostAnswer,
    /// Neither arrives.
    Swallowed,
    /// It arrives after so long; nobody waits for the answer.
    Zombie(i64),
    /// The provider fails: after processing it or not, and keeps the answer or not.
    ServerError { processed: bool, kept: bool },
    /// A stranger's page answers, in front of a request that is processed or not.
    ProxyPage { processed: bool },
    /// The provider says this instead of looking at it.
    Says(Reply),
    /// It is processed, and rejected after so long.
    RejectedLater(i64),
}

/// Draws what becomes of a request.
fn way(scene: &mut Scene, requests: &[Request<'_>]) -> Way {
    let way = drawn_way(scene, requests);
    for request in requests {
        witness(scene, request.identifier, &way, requests.len());
    }
    way
}

/// Whether a refusal leaves open what was taken: it is said of several events at once.
fn leaves_open(reply: &Reply, events: usize) -> bool {
    events > 1 && reply.status == 400
}

/// Takes note of what became of the request of an event, which told so many.
fn witness(scene: &mut Scene, identifier: &str, way: &Way, events: usize) {
    let class = match way {
        Way::Clear | Way::Says(_) => None,
        Way::NotConnected => Some(Class::NotConnected),
        Way::LostAnswer => Some(Class::LostAnswer),
        Way::Swallowed => Some(Class::Swallowed),
        Way::Zombie(_) => Some(Class::Zombie),
        Way::ServerError { .. } => Some(Class::ServerError),
        Way::ProxyPage { .. } => Some(Class::ProxyPage),
        Way::RejectedLater(_) => Some(Class::RejectedLater),
    };
    let now = scene.server.now;
    let witness = scene.witnesses.entry(identifier.to_owned()).or_default();
    if let Some(class) = class {
        *witness.faults.entry(class).or_default() += 1;
    }
    let may_have_landed = match way {
        Way::NotConnected => false,
        Way::Says(reply) => leaves_open(reply, events),
        Way::Clear
        | Way::LostAnswer
        | Way::Swallowed
        | Way::Zombie(_)
        | Way::ServerError { .. }
        | Way::ProxyPage { .. }
        | Way::RejectedLater(_) => true,
    };
    if may_have_landed {
        witness.attempts.push(now);
        witness.was_one_of_many_refused |= matches!(way, Way::Says(_));
    }
}

/// The provider answers so, whatever it was asked.
fn says(scene: &mut Scene, identifier: &str, class: Class, reply: Reply) -> Way {
    let witness = scene.witnesses.entry(identifier.to_owned()).or_default();
    *witness.faults.entry(class).or_default() += 1;
    Way::Says(reply)
}

fn drawn_way(scene: &mut Scene, requests: &[Request<'_>]) -> Way {
    through_episode(scene, requests[0].identifier)
        .or_else(|| lost_on_the_way(scene))
        .unwrap_or_else(|| what_it_says(scene, requests))
}

/// What an episode that goes on makes of a request.
fn through_episode(scene: &mut Scene, identifier: &str) -> Option<Way> {
    let now = scene.server.now;
    if now < scene.episodes.outage {
        let swallowed = scene.faults.stream(Class::Outage).one_in(3);
        return Some(if swallowed { Way::Swallowed } else { Way::NotConnected });
    }
    if now < scene.episodes.mute {
        scene.faults.count(Class::LostAnswer);
        return Some(Way::LostAnswer);
    }
    if now < scene.episodes.key_refused {
        let reply = scene.server.keeps.says(Saying::KeyRefused);
        return Some(says(scene, identifier, Class::KeyRefused, reply));
    }
    if now < scene.episodes.rate_storm && !scene.faults.stream(Class::RateStorm).one_in(6) {
        scene.faults.count(Class::RateStorm);
        let mut reply = scene.server.keeps.says(Saying::TooMany);
        let asked = scene.faults.stream(Class::RateStorm).between(1, 60);
        let asked = u32::try_from(asked).expect("it is small");
        reply.retry_after = scene.faults.stream(Class::RateStorm).one_in(2).then_some(asked);
        return Some(says(scene, identifier, Class::RateStorm, reply));
    }
    None
}

/// What becomes of a request or of its answer on the way.
fn lost_on_the_way(scene: &mut Scene) -> Option<Way> {
    let faults = &mut scene.faults;
    if faults.strikes(Class::NotConnected, 12) {
        return Some(Way::NotConnected);
    }
    if faults.strikes(Class::LostAnswer, 5) {
        return Some(Way::LostAnswer);
    }
    if faults.strikes(Class::Swallowed, 6) {
        return Some(Way::Swallowed);
    }
    if faults.strikes(Class::Zombie, 6) {
        let chance = faults.stream(Class::Zombie);
        let longest = if chance.percent(70) { 40 * MINUTE } else { 20 * HOUR };
        return Some(Way::Zombie(chance.between(MINUTE, longest)));
    }
    if faults.strikes(Class::ServerError, 6) {
        let chance = faults.stream(Class::ServerError);
        return Some(Way::ServerError { processed: chance.one_in(2), kept: chance.one_in(2) });
    }
    if faults.strikes(Class::ProxyPage, 6) {
        return Some(Way::ProxyPage { processed: faults.stream(Class::ProxyPage).one_in(2) });
    }
    None
}

/// What the provider itself makes of a request that arrived.
fn what_it_says(scene: &mut Scene, requests: &[Request<'_>]) -> Way {
    let request = &requests[0];
    let identifier = request.identifier;
    if scene.faults.strikes(Class::Busy, 6) {
        let reply = scene.server.keeps.says(Saying::Busy);
        return says(scene, identifier, Class::Busy, reply);
    }
    // Any of many may be at fault.
    let refused_once_in = if requests.len() > 1 { 1 } else { 4 };
    if scene.faults.strikes(Class::Refused, refused_once_in) {
        let reply = scene.server.keeps.says(Saying::Refused);
        return says(scene, identifier, Class::Refused, reply);
    }
    // A provider that lies about what may be there cannot be found out by its answers.
    let usage = matches!(request.says, Says::Usage) && !scene.server.keeps.streams(request.body);
    if usage && !scene.may_be_there && scene.faults.strikes(Class::FalseDuplicate, 4) {
        let said = format!("An event already exists with identifier {identifier}.");
        let reply = Reply::error(400, "invalid_request_error", &said);
        return says(scene, identifier, Class::FalseDuplicate, reply);
    }
    if scene.faults.strikes(Class::RejectedLater, 6) {
        return Way::RejectedLater(
            scene.faults.stream(Class::RejectedLater).between(SECOND, 2 * HOUR),
        );
    }
    Way::Clear
}

/// What comes back of a request, if anything: the answer, or why there is none. With several events
/// each is carried by itself, as the bytes that it was stored with.
pub(super) fn travel(
    scene: &mut Scene,
    requests: &[Request<'_>],
    bodies: &[Vec<u8>],
) -> Result<Reply, Answer> {
    let lost = |why: &str| Err(Answer::bare(Outcome::Unknown, why));
    let way = way(scene, requests);
    let each = || requests.iter().zip(bodies);
    let receive = |scene: &mut Scene, mut rejects_at: Option<i64>| {
        let mut reply = None;
        for (request, body) in each() {
            let got = scene.server.receive(body, request.idempotency_key, rejects_at.take());
            reply.get_or_insert(got);
        }
        reply.expect("there is an event")
    };
    // Of several, any may have been looked at before it failed.
    let receive_some = |scene: &mut Scene, class: Class, processed: bool| {
        for (request, body) in each() {
            let coin = requests.len() > 1 && scene.faults.stream(class).one_in(2);
            if processed != coin {
                scene.server.receive(body, request.idempotency_key, None);
            }
        }
    };
    match way {
        Way::Clear => {
            let reply = receive(scene, None);
            if reply.status >= 500 {
                scene.server.answers_failure_again(requests[0].idempotency_key);
            }
            Ok(reply)
        }
        Way::NotConnected => Err(Answer::bare(Outcome::NotSent, "connection refused")),
        Way::LostAnswer => {
            receive(scene, None);
            lost("the answer was lost")
        }
        Way::Swallowed => lost("timed out"),
        Way::Zombie(delay) => {
            for (request, body) in each() {
                delayed(scene, request, body, delay);
            }
            lost("timed out")
        }
        Way::ServerError { processed, kept } => {
            let reply = scene.server.keeps.says(Saying::Failed);
            receive_some(scene, Class::ServerError, processed);
            if kept {
                scene.server.keep(requests[0].idempotency_key, &bodies[0], &reply);
            }
            Ok(reply)
        }
        Way::ProxyPage { processed } => {
            receive_some(scene, Class::ProxyPage, processed);
            Ok(Reply::of(502, "<html>Bad Gateway</html>".to_owned()))
        }
        Way::Says(reply) => {
            if leaves_open(&reply, requests.len()) {
                receive_some(scene, Class::Refused, false);
                scene.reach("a refusal of several events");
            }
            Ok(reply)
        }
        Way::RejectedLater(delay) => {
            let at = scene.server.now + delay;
            Ok(receive(scene, Some(at)))
        }
    }
}

/// A request that arrives after so long. None is held up on its way past the margin of the
/// provider's promise: where the identifier is old, the delay is cut to what the margin was chosen
/// for.
fn delayed(scene: &mut Scene, request: &Request<'_>, body: &[u8], delay: i64) {
    let first = scene.server.first_seen.get(request.identifier).copied();
    let now = scene.server.now;
    let latest = match scene.server.keeps {
        Keeps::Events => first.unwrap_or(now) + DAY - 20 * MINUTE,
        // An id is never forgotten, and a count knows of none.
        Keeps::Entries | Keeps::Counts(_) => now + DAY,
    };
    let lands_at = (now + delay).min(latest.max(now + 10 * MINUTE));
    let key = request.idempotency_key.to_owned();
    scene.server.stragglers.push(Straggler { lands_at, body: body.to_vec(), key });
}

/// The process ends with a request on its way: it arrives, or it does not.
pub(super) fn crash_on_the_way(scene: &mut Scene, requests: &[Request<'_>], bodies: &[Vec<u8>]) {
    if scene.faults.stream(Class::CrashSending).one_in(2) {
        drop(travel(scene, requests, bodies));
    }
    let now = scene.server.now;
    for request in requests {
        let witness = scene.witnesses.entry(request.identifier.to_owned()).or_default();
        *witness.faults.entry(Class::CrashSending).or_default() += 1;
        witness.attempts.push(now);
        scene.trace.note(format!("crash while sending {}", request.identifier));
    }
}
