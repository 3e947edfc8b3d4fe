# What scripts/test, scripts/test-data and scripts/test-long share: checks that are counted, and the last line.
# shellcheck shell=bash
mkdir -p target
logs=$(mktemp -d target/test.XXXXXX)
log=$logs/suite
trap 'rm -rf "$logs"' EXIT
passed=0
failed=0
# The parts that are not in the default build. Everything is tested with all of them, for each choice of parts compiles
# most dependencies anew; that the default build compiles, the lints tell.
parts=greenstream/s3,greenstream/gcs,greenstream/azure,greenstream/sqs,greenstream/nats

# build: the programs that the tests outside of cargo run
build() {
  local began=$SECONDS
  printf '== release build\n'
  cargo build --release --quiet -p greenstream -p greenstream-lambda --features "$parts"
  printf '   %s s\n' $((SECONDS - began))
}

# step NAME COMMAND...: runs a check that counts as one test
step() {
  local name=$1 began=$SECONDS
  shift
  printf '== %s\n' "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED: %s\n' "$name"; fi
  printf '   %s s\n' $((SECONDS - began))
}

# suite ARGUMENTS...: cargo test, whose own counts are added
suite() {
  printf '== cargo test %s\n' "$*"
  local before=$failed began=$SECONDS
  if cargo test --quiet --no-fail-fast "$@" 2>&1 | tee "$log"; then :; else failed=$((failed + 1)); fi
  local ok bad
  ok=$({ grep -E '^test result:' "$log" || true; } | sed -E 's/.* ([0-9]+) passed.*/\1/' | awk '{ n += $1 } END { print n + 0 }')
  bad=$({ grep -E '^test result:' "$log" || true; } | sed -E 's/.* ([0-9]+) failed.*/\1/' | awk '{ n += $1 } END { print n + 0 }')
  passed=$((passed + ok))
  # a failing test also fails the command: count each once
  if [ "$bad" -gt 0 ]; then failed=$((before + bad)); fi
  if [ "$ok" -eq 0 ]; then failed=$((failed + 1)); printf 'FAILED: no test ran\n'; fi
  printf '   %s s\n' $((SECONDS - began))
}

# lane NAME: runs the checks of the function NAME beside those of other lanes; `join` waits for them
lanes=()
lane() {
  lanes+=("$1")
  (
    passed=0 failed=0 log=$logs/$1.suite
    "$1"
    printf '%s %s\n' "$passed" "$failed" >"$logs/$1.counts"
  ) >"$logs/$1" 2>&1 &
}

# join: waits for all lanes, prints what each of them printed, and adds their counts
join() {
  local name ok bad
  wait
  for name in "${lanes[@]}"; do
    cat "$logs/$name"
    read -r ok bad <"$logs/$name.counts" || { ok=0 bad=1 && printf 'FAILED: %s ended early\n' "$name"; }
    passed=$((passed + ok)) failed=$((failed + bad))
  done
  lanes=()
}

# report: the summary, and its exit status
report() {
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}
