#!/bin/sh
# Creates (or reuses) the virtual environment of the Python checks and comparisons in target/python.
# Installs only when a requirements file has changed. Prints one line: the interpreter to use.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="$here/../../target/python"
mkdir -p "$venv"
venv=$(cd "$venv" && pwd)

# install NAME PIP-OPTIONS...: what NAME.txt asks for, unless it is there already
install() {
    wanted="$here/$1.txt" stamp="$venv/$1.installed" log="$venv/$1.log"
    shift
    cmp -s "$wanted" "$stamp" && return
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -r "$wanted" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    cp "$wanted" "$stamp"
}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
install requirements
install requirements-delta-scan --upgrade --target "$venv/delta-scan"
echo "$venv/bin/python"
