//! `[silence]`, and how long a source may be quiet: when somebody is called silent.

use tallyd::domain::silence::{SpeakerKind, Terms};

use super::{SOUND, refused, sound};

fn terms(lines: &str) -> Terms {
    sound(&format!("{lines}\n{SOUND}")).silence
}

#[test]
fn what_is_said_of_silence_is_taken_as_said() {
    assert_eq!(terms(""), Terms::default());
    let said = terms(
        "[silence]\nsources = false\ncustomers = true\ngap_percent = 150\nquiet_seconds_min = 600\n\
         accepted_sources = [\"old\"]\naccepted_customers = [\"acme\", \"umbrella\"]\n\
         [source.web]\nsilent_after = \"6h\"",
    );
    let kinds: Vec<SpeakerKind> = said.kinds.iter().copied().collect();
    assert_eq!(kinds, [SpeakerKind::Meter, SpeakerKind::Customer]);
    assert_eq!((said.gap_percent, said.floor_micros), (150, 600_000_000));
    let accepted: Vec<String> =
        said.accepted.iter().map(|each| format!("{} {}", each.kind, each.name)).collect();
    assert_eq!(accepted, ["source old", "customer acme", "customer umbrella"]);
    let quiet: Vec<(&str, i64)> =
        said.said.iter().map(|(name, micros)| (name.as_str(), *micros)).collect();
    assert_eq!(quiet, [("web", 6 * 3_600_000_000)]);
}

#[test]
fn what_would_alarm_always_or_never_is_refused() {
    for (key, value, bounds) in [
        ("gap_percent", "99", "100 to 1000"),
        ("gap_percent", "1001", "100 to 1000"),
        ("quiet_seconds_min", "119", "120 to 2678400"),
        ("quiet_seconds_min", "2678401", "120 to 2678400"),
    ] {
        let title = format!("`silence.{key}` is {value}, outside {bounds}");
        refused(&format!("[silence]\n{key} = {value}\n{SOUND}"), value, &title);
    }
    for (value, title) in [
        ("1m", "`source.web.silent_after` is \"1m\", outside \"2m\" to \"31d\""),
        ("32d", "`source.web.silent_after` is \"32d\", outside \"2m\" to \"31d\""),
        ("soon", "`source.web.silent_after` is \"soon\", which is no span of time"),
    ] {
        let text = format!("[source.web]\nsilent_after = \"{value}\"\n{SOUND}");
        refused(&text, &format!("\"{value}\""), title);
    }
    let text = format!("[silence]\naccepted_meters = [\" \"]\n{SOUND}");
    let title = "`silence.accepted_meters` names one that starts or ends with white space";
    refused(&text, "\" \"", title);
}
