//! What classification promises, at its edge.

use reqwest::header::{DATE, HeaderMap, HeaderValue};

use super::*;

const NOON: &str = "Fri, 20 Nov 2026 12:00:00 GMT";

fn received(status: u16, body: &str) -> Received {
    let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(NOON))]);
    Received { status, headers, body: body.as_bytes().to_vec(), broken: None }
}

fn no(status: u16, message: &str) -> Answer {
    recorded(&received(status, &format!(r#"{{"result":1,"message":"{message}"}}"#)))
}

#[test]
fn a_yes_is_one_in_whatever_case_its_names_are() {
    for body in
        [r#"{"result":0,"message":""}"#, r#"{"Result":0,"Message":null}"#, r#"{"RESULT":0}"#]
    {
        let answer = recorded(&received(200, body));
        assert_eq!(answer.outcome, Outcome::Accepted, "{body}");
        assert_eq!(answer.provider_at, received(200, body).provider_at(), "{body}");
    }
}

#[test]
fn a_no_is_told_by_its_text_whatever_its_status() {
    use HoldReason::{NoMeter, Refused, ValueRefused};
    let table = [
        ("Access denied.", Outcome::Refused(Refused)),
        ("Unable to authenticate", Outcome::Unauthorized),
        ("No active subscription found. Please contact support.", Outcome::Unauthorized),
        ("The input parameters were incorrect.", Outcome::Refused(ValueRefused)),
        ("Could not find the product.", Outcome::Refused(NoMeter)),
        ("Could not find the key.", Outcome::Refused(Refused)),
        ("No Stripe payment processor was set up.", Outcome::Refused(Refused)),
        ("The subscription item id could not be found.", Outcome::Refused(Refused)),
        ("Not enough permission and/or key not found.", Outcome::Refused(Refused)),
        // Stripe was asked, and what it answered may have been lost.
        ("Could not increment the usage counter.", Outcome::Unknown),
        ("Something went wrong. Please try again.", Outcome::Unknown),
        ("A sentence that nobody has read yet.", Outcome::Unknown),
        ("", Outcome::Unknown),
    ];
    for (message, outcome) in table {
        for status in [200, 400, 404] {
            assert_eq!(no(status, message).outcome, outcome, "{status} {message}");
        }
        assert_eq!(no(403, message).outcome, Outcome::Unauthorized, "{message}");
        assert_eq!(no(429, message).outcome, Outcome::RateLimited, "{message}");
        assert_eq!(no(500, message).outcome, Outcome::Failed, "{message}");
        assert_eq!(no(302, message).outcome, Outcome::Unknown, "{message}");
    }
}

#[test]
fn an_object_without_a_result_proves_nothing() {
    for body in [
        r#"{"message":""}"#,
        r#"{"result":null,"message":""}"#,
        r#"{"result":"0"}"#,
        r#"{"result":2}"#,
        r#"[{"result":0}]"#,
        "result=0",
    ] {
        let answer = recorded(&received(200, body));
        assert_eq!(answer.outcome, Outcome::Unknown, "{body}");
        assert_eq!(answer.provider_at, None, "{body}");
    }
    let broken = Received { broken: Some("cut".into()), ..received(200, r#"{"result":0}"#) };
    assert_eq!(recorded(&broken).outcome, Outcome::Unknown);
}

#[test]
fn products_are_listed_or_refused_to_a_token_that_is_one() {
    let body = r#"{"products":[{"id":3349,"name":"a"},{"Id":7},{"name":"no number"}],"result":0}"#;
    let listed = products(&received(200, body)).unwrap();
    let product = |id: &str| ProviderMeter::new(id).unwrap();
    assert_eq!(listed.has(&product("3349")), Some(true));
    assert_eq!(listed.has(&product("7")), Some(true));
    assert_eq!(listed.has(&product("334")), Some(false));
    let refused = received(200, r#"{"result":1,"message":"Access denied."}"#);
    assert_eq!(products(&refused).unwrap().has(&product("7")), None);
    let stranger = received(200, r#"{"result":1,"message":"Unable to authenticate"}"#);
    assert_eq!(products(&stranger).unwrap_err().outcome, Outcome::Unauthorized);
    let other = received(200, r#"{"result":0,"message":""}"#);
    assert_eq!(products(&other).unwrap_err().outcome, Outcome::Unknown);
}
