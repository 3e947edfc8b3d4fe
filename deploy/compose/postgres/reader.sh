#!/bin/sh
# Runs once, when the database is made: a role for dashboards, which the service lets read the contract's views
# and nothing else (store.reader_role). The password is on no command line.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/reader-password`
create role greenstream_reader login password :'password';
alter role greenstream_reader set search_path = greenstream;
alter role greenstream_reader set default_transaction_read_only = on;
alter role greenstream_reader set statement_timeout = '30s';
SQL
