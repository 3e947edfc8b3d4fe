# What scripts/test, scripts/test-data and scripts/test-long share: checks that are counted, and the last line.
# shellcheck shell=bash
mkdir -p target
log=$(mktemp target/test.XXXXXX.log)
trap 'rm -f "$log"' EXIT
passed=0
failed=0
# The parts that are not in the default build. Everything is tested with all of them, for each choice of parts compiles
# most dependencies anew; that the default build compiles, the lints tell.
parts=greenstream/s3,greenstream/gcs,greenstream/azure,greenstream/sqs,greenstream/nats

# build: the programs that the tests outside of cargo run
build() {
  printf '== release build\n'
  cargo build --release --quiet -p greenstream -p greenstream-lambda --features "$parts"
}

# step NAME COMMAND...: runs a check that counts as one test
step() {
  local name=$1
  shift
  printf '== %s\n' "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED: %s\n' "$name"; fi
}

# suite ARGUMENTS...: cargo test, whose own counts are added
suite() {
  printf '== cargo test %s\n' "$*"
  local before=$failed
  if cargo test --quiet --no-fail-fast "$@" 2>&1 | tee "$log"; then :; else failed=$((failed + 1)); fi
  local ok bad
  ok=$({ grep -E '^test result:' "$log" || true; } | sed -E 's/.* ([0-9]+) passed.*/\1/' | awk '{ n += $1 } END { print n + 0 }')
  bad=$({ grep -E '^test result:' "$log" || true; } | sed -E 's/.* ([0-9]+) failed.*/\1/' | awk '{ n += $1 } END { print n + 0 }')
  passed=$((passed + ok))
  # a failing test also fails the command: count each once
  if [ "$bad" -gt 0 ]; then failed=$((before + bad)); fi
  if [ "$ok" -eq 0 ]; then failed=$((failed + 1)); printf 'FAILED: no test ran\n'; fi
}

# report: the summary, and its exit status
report() {
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}
