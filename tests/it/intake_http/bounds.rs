//! What clients may take: bytes, time, connections; and what happens when they, or we, leave.

use tallyd::intake;
use tokio::io::AsyncWriteExt;

use super::world::{
    Weather, World, answer, closing, exchange, get, post_head, record, soon, usual,
};

#[tokio::test]
async fn a_body_too_long_is_refused_by_its_head_alone() {
    let world = World::new().await;
    let limit = intake::Settings::default().body_bytes_max;
    let mut connection = world.connect().await;
    let refused = exchange(&mut connection, post_head("one", limit + 1).as_bytes()).await;
    assert_eq!(refused.error(), (413, "body_too_large".to_owned()));
    assert!(refused.body.contains(&limit.to_string()), "{}", refused.body);
    // Its body was not read, so nothing may be sent behind it.
    assert_eq!(refused.header("connection"), Some("close"));
    world.end().await;
}

#[tokio::test]
async fn a_body_of_unsaid_length_is_refused_once_it_is_too_long() {
    let (intake, web) = usual();
    let world = World::with(intake::Settings { body_bytes_max: 1_000, ..intake }, web).await;
    let mut connection = world.connect().await;
    let head = "POST /v1/usage HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer one\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 900, " ".repeat(900));
    let refused = exchange(&mut connection, format!("{head}{chunk}{chunk}").as_bytes()).await;
    assert_eq!(refused.error(), (413, "body_too_large".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn an_answer_is_read_by_a_client_that_is_still_sending() {
    let world = World::new().await;
    let length = 16 * 1024 * 1024;
    let mut connection = world.connect().await;
    let body = vec![b' '; length];
    connection.write_all(post_head("one", length).as_bytes()).await.unwrap();
    connection.write_all(&body).await.unwrap();
    assert_eq!(answer(&mut connection).await.error(), (413, "body_too_large".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn too_many_records_are_refused_whole() {
    let (intake, web) = usual();
    let world = World::with(intake::Settings { batch_records_max: 2, ..intake }, web).await;
    let records = [record("a", "1"), record("b", "1"), record("c", "1")];
    let refused = world.post(&format!("[{}]", records.join(","))).await;
    assert_eq!(refused.error(), (413, "too_many_records".to_owned()));
    assert_eq!(world.ledger.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn more_bytes_than_may_be_in_work_are_pushed_back() {
    let (intake, web) = usual();
    let world = World::with(intake::Settings { inflight_bytes_max: 500, ..intake }, web).await;
    world.ledger.weather.send_replace(Weather::Slow);
    let first = record("a", "1");
    let mut connection = world.connect().await;
    let head = post_head("one", first.len());
    connection.write_all(&[head.as_bytes(), first.as_bytes()].concat()).await.unwrap();
    soon(world.called()).await;

    let long = record("b".repeat(400), "1");
    let refused = world.post(&long).await;
    assert_eq!(refused.error(), (429, "overloaded".to_owned()));
    assert!(refused.header("retry-after").is_some());

    world.ledger.weather.send_replace(Weather::Fair);
    assert_eq!(answer(&mut connection).await.status, 200);
    assert_eq!(world.post(&record("c".repeat(200), "1")).await.status, 200);
    world.end().await;
}

/// A world whose patience ends soon; every wait in these tests is for a connection's end.
async fn hasty(head: u32, request: u32, idle: u32) -> World {
    let (intake, mut web) = usual();
    (web.head_millis_max, web.request_millis_max, web.idle_millis_max) = (head, request, idle);
    World::with(intake, web).await
}

const LONG: u32 = 600_000;

#[tokio::test]
async fn a_connection_that_never_says_a_whole_head_is_closed() {
    let world = hasty(50, LONG, LONG).await;
    assert_eq!(closing(&mut world.connect().await).await, "");
    let mut dribbling = world.connect().await;
    dribbling.write_all(b"POST /v1/usage HT").await.unwrap();
    assert_eq!(closing(&mut dribbling).await, "");
    world.end().await;
}

#[tokio::test]
async fn the_head_of_a_second_request_is_timed_as_well() {
    let world = hasty(50, LONG, LONG).await;
    let mut connection = world.connect().await;
    assert_eq!(exchange(&mut connection, get("/healthz").as_bytes()).await.status, 200);
    connection.write_all(b"GET /hea").await.unwrap();
    assert_eq!(closing(&mut connection).await, "");
    world.end().await;
}

#[tokio::test]
async fn a_connection_that_idles_is_closed_and_one_that_works_is_not() {
    let world = hasty(LONG, LONG, 50).await;
    let mut connection = world.connect().await;
    for _ in 0..3 {
        assert_eq!(exchange(&mut connection, get("/healthz").as_bytes()).await.status, 200);
    }
    assert_eq!(closing(&mut connection).await, "");
    world.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_refused_and_books_nothing() {
    let world = hasty(LONG, 50, LONG).await;
    let mut connection = world.connect().await;
    let body = record("a", "1");
    connection.write_all(post_head("one", body.len() + 1).as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut connection).await.error(), (408, "timeout".to_owned()));
    assert_eq!(closing(&mut connection).await, "");
    assert_eq!(world.ledger.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn a_ledger_that_is_slow_is_not_waited_for_without_end_and_still_books() {
    let world = hasty(LONG, 50, LONG).await;
    world.ledger.weather.send_replace(Weather::Slow);
    let late = world.post(&record("a", "1")).await;
    assert_eq!(late.error(), (503, "timeout".to_owned()));
    world.ledger.weather.send_replace(Weather::Fair);
    soon(world.accrual.rung()).await;
    assert_eq!(world.ledger.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_is_whole_books_nothing() {
    let world = World::new().await;
    let body = record("a", "1");
    let mut connection = world.connect().await;
    connection.write_all(post_head("one", body.len() + 1).as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    drop(connection);
    assert_eq!(world.post(&record("b", "1")).await.status, 200);
    let ledger = world.ledger.clone();
    world.end().await;
    assert_eq!(ledger.len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_ledger_works_does_not_take_its_usage_back() {
    let world = World::new().await;
    world.ledger.weather.send_replace(Weather::Slow);
    let body = record("a", "1");
    let mut connection = world.connect().await;
    let request = post_head("one", body.len()) + &body;
    connection.write_all(request.as_bytes()).await.unwrap();
    soon(world.called()).await;
    drop(connection);
    // Answered by the same server, so that it has had its turn to see the client leave.
    assert_eq!(world.get("/healthz").await.status, 200);
    world.ledger.weather.send_replace(Weather::Fair);
    soon(world.accrual.rung()).await;
    assert_eq!(world.ledger.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_accepts_nothing_more() {
    let world = World::new().await;
    world.ledger.weather.send_replace(Weather::Slow);
    let body = record("a", "1");
    let request = post_head("one", body.len()) + &body;
    let mut working = world.connect().await;
    working.write_all(request.as_bytes()).await.unwrap();
    soon(world.called()).await;
    let mut begun = world.connect().await;
    begun.write_all(b"POST /v1/usage HTTP/1.1\r\nHost: t\r\n").await.unwrap();
    let mut idle = world.connect().await;
    assert_eq!(exchange(&mut idle, get("/healthz").as_bytes()).await.status, 200);

    world.stop.cancel();
    assert_eq!(closing(&mut idle).await, "");
    let rest = "Authorization: Bearer one\r\nContent-Length: 2\r\n\r\n[]";
    let refused = exchange(&mut begun, rest.as_bytes()).await;
    assert_eq!(refused.error(), (503, "shutting_down".to_owned()));
    assert!(refused.header("retry-after").is_some());
    world.ledger.weather.send_replace(Weather::Fair);
    assert_eq!(answer(&mut working).await.status, 200);
    let address = world.address;
    drop((working, begun));
    world.end().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
