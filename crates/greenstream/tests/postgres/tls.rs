//! Encrypted connections to a server that takes no others: the certificate and the name in it are checked.

use crate::common::Home;
use crate::server::Server;

/// A home on an address of the server.
fn home_at(url: &str, words: &str) -> Home {
    let home = Home::new();
    home.configure("greenstream.toml", &format!("[store]\nurl = \"{url}?{words}\"\n"));
    home
}

#[test]
fn an_encrypted_connection_is_taken_where_certificate_and_name_are_right() {
    let (server, root) = Server::start_encrypted();
    for mode in ["require", "verify-ca", "verify-full"] {
        let schema = mode.replace('-', "_");
        let home = home_at(&server.url, &format!("schema={schema}&sslmode={mode}&sslrootcert={root}"));
        home.ok(&["check-config", "--level", "reachability"]);
        home.ingest("one.csv", "A,2026-03-02T00:00:00Z,1.5,kW\n");
        home.is_whole();
        home.ok(&["rebuild"]);
    }
}

#[track_caller]
fn check_refused(url: &str, words: &str, code: i32, says: &str, way_out: &str) {
    let home = home_at(url, words);
    let file =
        home.file("one.csv", "meter_id,timestamp,energy_value,energy_unit\nA,2026-03-02T00:00:00Z,1,kW\n");
    let told = home.run(&["ingest", &file]).exits(code).says(says);
    assert!(told.err.contains(way_out), "{}", told.err);
    home.run(&["run", "--listen", "127.0.0.1:0"]).exits(code).says(says);
    home.run(&["check-config", "--level", "reachability"]).exits(78).says(says).says(way_out);
}

#[test]
fn whoever_cannot_show_a_certificate_of_the_name_is_not_talked_to() {
    let (server, root) = Server::start_encrypted();
    check_refused(&server.url, "sslmode=require", 69, "certificate", "sslrootcert");
    check_refused(&server.url, "schema=plain", 74, "no encryption", "sslmode");
    let other_name = server.url.replace("127.0.0.1", "localhost");
    check_refused(
        &other_name,
        &format!("sslmode=require&sslrootcert={root}"),
        69,
        "certificate",
        "sslrootcert",
    );
}
