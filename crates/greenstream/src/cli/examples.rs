//! The examples under `--help`. Each is run by `tests/program/examples.rs`, as it stands, in a folder with
//! `my-uploads/`, `acme.csv` and a home into which they have landed; `# exits N` states another exit code
//! than 0.

pub const DEMO: &str = "Examples:
  greenstream demo --meters 100 --days 2 --exit
  greenstream demo --meters 50 --days 1 --listen 127.0.0.1:0   # pages on any free port";

pub const RUN: &str = "Examples:
  greenstream run --listen 127.0.0.1:0";

pub const INGEST: &str = "Examples:
  greenstream ingest --dry-run my-uploads/
  greenstream ingest my-uploads/
  greenstream ingest --feed london my-uploads/north.csv   # exits 2: landed under another feed";

pub const SIMULATE: &str = "Examples:
  greenstream simulate --meters 20 --days 2 --out fleet
  greenstream simulate --meters 5 --days 1 --interval 30 --layout daily --out small";

pub const FEEDS: &str = "Examples:
  greenstream feeds list
  greenstream feeds detect acme.csv --time-zone Europe/Berlin
  greenstream feeds drift 4    # exits 2: it landed under no feed of its own
  greenstream feeds drift 5    # a file of acme with other column names, held
  greenstream feeds accept 5 --dry-run
  greenstream feeds accept 5 --reason 'their mail of 2 March'
  greenstream feeds test acme.csv --feed acme
  greenstream feeds test acme.csv --feed default   # exits 65: it would be a dead letter";

pub const STATUS: &str = "Examples:
  greenstream status
  greenstream status --json";

pub const UPLOADS: &str = "Examples:
  greenstream uploads
  greenstream uploads --status dead --json";

pub const ERRORS: &str = "Examples:
  greenstream errors --reason value_above_limit
  greenstream errors release 3:17 --reason 'checked on site'
  greenstream errors undo 3:17
  greenstream errors edit 3:18 --kw 1.25
  greenstream errors discard --meter MTR-000124 --quarantined-for value_negative --dry-run";

pub const DEAD_LETTERS: &str = "Examples:
  greenstream dead-letters
  greenstream dead-letters retry 4 --feed acme
  greenstream dead-letters retry 4   # exits 2: it is alive now";

pub const METERS: &str = "Examples:
  greenstream meters
  greenstream meters --meter MTR-000123 --json";

pub const EPISODES: &str = "Examples:
  greenstream episodes";

pub const QUALITY: &str = "Examples:
  greenstream quality
  greenstream quality --by feeder --json
  greenstream quality --meter MTR-000123 --from 2026-03-02";

pub const ALERTS: &str = "Examples:
  greenstream alerts --json";

pub const EXPLAIN: &str = "Examples:
  greenstream explain MTR-000123 2026-03-02T00:15:00Z
  greenstream explain MTR-000123 2026-03-02T01:15:00+01:00 --json
  greenstream explain MTR-000123 2020-01-01   # exits 1: no row says so";

pub const EXPLAIN_CODE: &str = "Examples:
  greenstream explain-code outlier
  greenstream explain-code E-HOME-BUSY";

pub const EXPORT: &str = "Examples:
  greenstream export readings --format parquet -o readings.parquet
  greenstream export error-queue --from 2026-03-02 --to 2026-03-03 > waiting.csv
  greenstream export measured --meter MTR-000123 --format json | head -n 3";

pub const VERIFY: &str = "Examples:
  greenstream verify";

pub const REBUILD: &str = "Examples:
  greenstream rebuild --check
  greenstream rebuild";

pub const CHECK_CONFIG: &str = "Examples:
  greenstream check-config
  greenstream check-config --level reachability     # also asks every service that is named
  greenstream check-config --config other.toml   # exits 78: there is no such file";

pub const HEALTH: &str = "Examples:
  greenstream health                                # exits 69: no service runs
  greenstream health --live                         # exits 69: no service runs";

pub const INIT: &str = "Examples:
  greenstream --home new-home init
  greenstream --config my.toml init --yes";

pub const COMPLETIONS: &str = "Examples:
  greenstream completions bash > greenstream.bash   # then: source greenstream.bash
  greenstream completions zsh > _greenstream        # into a folder of $fpath
  greenstream completions fish > greenstream.fish   # into ~/.config/fish/completions/";
