//! No secret stands in the configuration file, which is copied, committed and shown: secrets come from the
//! environment or from files of their own.

use toml::{Table, Value};

use super::table::{KEYS, Kind};
use super::{Address, ConfigError, ConfigProblem};

/// One for each address in a file that holds a secret. None of them tells it.
pub fn check(file: &Table) -> Vec<ConfigError> {
    let mut problems = Vec::new();
    for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Address(_))) {
        let Some(text) = lookup(file, key.name) else { continue };
        if Address::new(text).has_secret() {
            let problem = format!("{} holds a secret, and this file is no place for one", key.name);
            let hint = match key.name {
                "store.url" => {
                    "leave the password out; it comes from `password_file` or the variable PGPASSWORD"
                }
                "trigger.nats.url" => "leave the password or token out; it comes from `credentials_file`",
                "alerts.webhook" => "put the address into a file of its own and name that in `webhook_file`",
                _ => "leave it out; credentials come from the cloud's usual environment variables or files",
            };
            // the database's address is refused with a password wherever it is from
            let hint = match key.name {
                "store.url" => hint.to_owned(),
                _ => format!("{hint}; or the whole address from the variable {}", key.variable()),
            };
            problems.push(ConfigError::new(ConfigProblem::Value, key.name, problem, hint));
        }
    }
    problems
}

fn lookup<'a>(file: &'a Table, name: &str) -> Option<&'a str> {
    let mut parts = name.split('.');
    let first = file.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part)).and_then(Value::as_str)
}

/// The way out where somebody has named a key for a secret that there is not.
pub fn hint_for_unknown(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    if ["access_key", "secret", "account_key", "session_token", "sas", "service_account"]
        .iter()
        .any(|word| key.contains(word))
    {
        return Some(
            "credentials of object stores and queues come from the cloud's usual environment variables or files, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, never from this file",
        );
    }
    if key.contains("password") {
        return Some(
            "a password comes from `password_file` in [store] or the variable PGPASSWORD, never from this file",
        );
    }
    key.contains("token").then_some(
        "a token comes from `token_file` in [serve] or the variable GREENSTREAM_TOKEN, never from this file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_file_is_refused_with_the_way_out_and_not_told() {
        for (text, key, hint) in [
            ("[store]\nurl = 'postgresql://gs:canary@db/m'", "store.url", "password_file"),
            ("[store]\nurl = 'postgresql://gs@db/m?password=canary'", "store.url", "PGPASSWORD"),
            ("[landing]\nurl = 's3://KEY:canary@b'", "landing.url", "environment variables"),
            ("[archive]\nurl = 'az://c/p?sig=canary'", "archive.url", "environment variables"),
            ("[trigger.nats]\nurl = 'nats://canary@b:4222'", "trigger.nats.url", "credentials_file"),
            (
                "[trigger.sqs]\nqueue_url = 'https://a:canary@q/1'",
                "trigger.sqs.queue_url",
                "GREENSTREAM__TRIGGER__SQS__QUEUE_URL",
            ),
            ("[alerts]\nwebhook = 'https://u:canary@h/x'", "alerts.webhook", "webhook_file"),
        ] {
            let found = check(&toml::from_str(text).unwrap());
            let [error] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert_eq!(error.place, key);
            assert!(error.hint.contains(hint), "{error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn an_address_without_a_secret_is_good() {
        for text in [
            "[store]\nurl = 'postgresql://gs@db:5432/m?sslmode=verify-full'",
            "[landing]\nurl = 's3://bucket/prefix'",
            "[alerts]\nwebhook = 'https://example.org/alerts?team=meters'",
            "[store]\nurl = 7",
            "store = 'x'",
            "",
        ] {
            assert!(check(&toml::from_str(text).unwrap()).is_empty(), "{text}");
        }
    }
}
