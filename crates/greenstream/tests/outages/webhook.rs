//! A target of alerts that is down, slow, or lies.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::common::{Home, eventually};
use super::hook::{Answer, Hook};
use super::{done, send, send_as, status};

/// A file that nothing can be loaded of, and so an alert.
fn send_bad(home: &Home, number: usize) {
    send_as(home, &format!("bad-{number}.csv"), &format!("no header {number}\n"));
}

/// How often sending failed, by the database.
fn attempts(home: &Home) -> u32 {
    let database = rusqlite::Connection::open(home.path().join("greenstream.db")).unwrap();
    database.query_row("SELECT sum(attempts) FROM t_alert", [], |row| row.get(0)).unwrap()
}

#[test]
fn an_alert_reaches_a_target_that_lies_at_first_once_and_holds_up_nothing() {
    let elsewhere = Hook::willing();
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.port
    );
    let mut answers = vec![
        Answer::Silence,
        Answer::status("500 Oh No"),
        Answer::Text(redirect),
        Answer::Text("nonsense\r\n\r\n".to_owned()),
        Answer::Text("HTTP/1.1 20".to_owned()),
        Answer::status("429 Later"),
    ]
    .into_iter();
    let hook = Hook::start(move |_| answers.next().unwrap_or_else(Answer::taken));
    let home = Home::new();
    home.configure("greenstream.toml", &hook.configuration());
    let service = home.serve();
    send_bad(&home, 0);
    eventually("the target is asked", || (!hook.asked().is_empty()).then_some(()));
    // it is silent now, and will be for ten seconds
    let sent = Instant::now();
    send(&home, 0);
    eventually("an upload goes through", || (done(&service) == 1).then_some(()));
    assert!(sent.elapsed() < Duration::from_secs(9), "the target held up the pipeline: {:?}", sent.elapsed());
    eventually("it is taken", || (!hook.taken("dead_letter").is_empty()).then_some(()));
    eventually("and marked", || (status(&service)["alerts_waiting"] == 0).then_some(()));
    let asked = hook.asked();
    assert_eq!(asked.len(), 7, "{asked:?}");
    assert_eq!(asked.iter().map(|asked| &asked.key).collect::<BTreeSet<_>>().len(), 1, "one key: {asked:?}");
    assert!(elsewhere.asked().is_empty(), "a redirect was followed");
    assert_eq!(attempts(&home), 6);
    assert_eq!(service.terminate().0, 0);
}

/// Until now the first alert that a target refused kept all later ones waiting.
#[test]
fn an_alert_that_the_target_refuses_does_not_hold_up_the_others() {
    let mut refused = None;
    let hook = Hook::start(move |key| {
        let first = refused.get_or_insert_with(|| key.to_owned());
        if first == key { Answer::status("400 Bad Request") } else { Answer::taken() }
    });
    let home = Home::new();
    home.configure("greenstream.toml", &hook.configuration());
    let service = home.serve();
    (0..3).for_each(|number| send_bad(&home, number));
    eventually("the others are taken", || (hook.taken("dead_letter").len() == 2).then_some(()));
    eventually("and marked", || (status(&service)["alerts_waiting"] == 1).then_some(()));
    assert_eq!(service.terminate().0, 0);
    let taken = hook.taken("dead_letter");
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "twice: {taken:?}");
}

#[test]
fn a_target_that_is_down_gets_its_alerts_when_it_is_up() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = Home::new();
    home.configure("greenstream.toml", &format!("[alerts]\nwebhook = \"http://127.0.0.1:{port}/\"\n"));
    let service = home.serve();
    send_bad(&home, 0);
    eventually("it was tried", || (attempts_of(&home) > 1).then_some(()));
    let hook = Hook::on(port, |_| Answer::taken());
    eventually("it is taken", || (hook.taken("dead_letter").len() == 1).then_some(()));
    eventually("and marked", || (status(&service)["alerts_waiting"] == 0).then_some(()));
    assert_eq!(service.terminate().0, 0);
    assert_eq!(hook.asked().len(), 1);
}

fn attempts_of(home: &Home) -> u32 {
    let database = rusqlite::Connection::open(home.path().join("greenstream.db")).unwrap();
    database.query_row("SELECT coalesce(sum(attempts), 0) FROM t_alert", [], |row| row.get(0)).unwrap_or(0)
}

#[test]
fn an_answer_without_an_end_is_not_read() {
    let hook = Hook::start(|_| Answer::Endless);
    let home = Home::new();
    home.configure("greenstream.toml", &hook.configuration());
    let service = home.serve();
    send_bad(&home, 0);
    eventually("it is marked", || {
        let status = status(&service);
        (status["uploads"]["dead"] == 1 && status["alerts_waiting"] == 0).then_some(())
    });
    assert_eq!(hook.asked().len(), 1);
    // what the system's own buffers took
    assert!(hook.streamed.load(Ordering::SeqCst) < 32 << 20);
    assert_eq!(service.terminate().0, 0);
}

#[test]
fn killed_between_sending_and_recording_the_same_key_is_sent_again() {
    let home = Home::new();
    let pid = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (victim, mut deaths) = (std::sync::Arc::clone(&pid), 0);
    let hook = Hook::start(move |_| {
        deaths += 1;
        if deaths <= 3 { Answer::Kill(victim.load(Ordering::SeqCst)) } else { Answer::taken() }
    });
    home.configure("greenstream.toml", &hook.configuration());
    for death in 0..4 {
        let service = home.serve();
        pid.store(service.id(), Ordering::SeqCst);
        if death == 0 {
            send_bad(&home, 0);
        }
        eventually("it was asked", || (hook.asked().len() == death + 1).then_some(()));
        if death == 3 {
            eventually("it is marked", || (status(&service)["alerts_waiting"] == 0).then_some(()));
            assert_eq!(service.terminate().0, 0);
        } else {
            service.dies();
        }
    }
    let service = home.serve();
    send(&home, 0);
    eventually("an upload goes through", || (done(&service) == 1).then_some(()));
    assert_eq!(service.terminate().0, 0);
    let asked = hook.asked();
    assert_eq!(asked.len(), 4, "sent again after it was recorded: {asked:?}");
    assert_eq!(asked.iter().map(|asked| &asked.key).collect::<BTreeSet<_>>().len(), 1);
}

/// Until now a service that was told to stop sent all that waited first.
#[test]
fn a_target_that_answers_slowly_does_not_hold_up_the_end() {
    let hook = Hook::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        Answer::taken()
    });
    let home = Home::new();
    home.configure("greenstream.toml", &hook.configuration());
    let service = home.serve();
    for number in 0..10 {
        send_bad(&home, number);
    }
    eventually("the target is asked", || (!hook.asked().is_empty()).then_some(()));
    let began = Instant::now();
    assert_eq!(service.terminate().0, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
