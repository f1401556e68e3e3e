//! `[spool.NAME]`: which directories are read, and as what.

use std::path::Path;

use tallyd::intake::spool::{LOOK_SECONDS, SILENCE_SECONDS};

use super::{read, refused, sound, sound_and};

const IMPORT: &str = "[import.gate]\nid = \"id\"\ntime = \"time\"\ncustomer = \"customer\"\n\
                      [[import.gate.record]]\nmeter = \"requests\"\nquantity = 1\n";

fn spool(lines: &str) -> String {
    sound_and(&format!("[spool.gate]\ndirectory = \"waiting\"\n{lines}\n"))
}

#[test]
fn a_spool_is_read_as_its_name_says_where_nothing_else_is_said() {
    let config = sound(&spool(""));
    let [only] = config.spools.as_slice() else { panic!("{:?}", config.spools) };
    assert_eq!(only.directory, Path::new("/etc/tallyd/waiting"));
    assert_eq!((only.name.as_str(), only.source.as_str()), ("gate", "gate"));
    assert_eq!(only.look_micros, LOOK_SECONDS * 1_000_000);
    assert_eq!(only.silence_micros, SILENCE_SECONDS * 1_000_000);
    assert!(only.mapping.is_none());

    // An import that is called like its source says what the columns are, as it does by hand.
    let config = sound(&format!("{}{IMPORT}", spool("")));
    assert_eq!(config.spools[0].mapping.as_ref().unwrap().name, "gate");
    let config = sound(&format!("{}{IMPORT}", spool("source = \"edge\"\nmapping = \"gate\"")));
    assert_eq!(config.spools[0].mapping.as_ref().unwrap().name, "gate");
    assert_eq!(config.spools[0].source.as_str(), "edge");
}

#[test]
fn a_spool_that_could_not_be_read_is_refused() {
    let title = "`spool.gate.directory` is missing";
    refused(&sound_and("[spool.gate]\n"), "gate", title);
    let title = "`spool.gate.mapping` names the import \"edge\", which is not there";
    refused(&spool("mapping = \"edge\""), "\"edge\"", title);
    for (key, value, bounds) in [
        ("look_seconds", "0", "1 to 3600"),
        ("look_seconds", "3601", "1 to 3600"),
        ("silence_seconds", "0", "1 to 86400"),
        ("silence_seconds", "86401", "1 to 86400"),
    ] {
        let title = format!("`spool.gate.{key}` is {value}, outside {bounds}");
        refused(&spool(&format!("{key} = {value}")), value, &title);
    }
    assert!(read(&spool("directories = []")).is_err(), "a word that is not known");
}

#[test]
fn a_directory_is_read_by_one_spool() {
    let other = "[spool.edge]\ndirectory = \"./waiting/\"\n";
    let title = "`spool.gate` and `spool.edge` read the same directory";
    refused(&format!("{}{other}", spool("")), "\"waiting\"", title);
}
