"""What deploy/ sets up, as far as it runs without a container engine: the program, watched by a real Prometheus.

    python deployed.py BINARY      the interpreter that setup-deploy.sh prints; as root the whole of it

- The program runs as in its image: a root file system that is read-only and holds the program and its libraries alone,
  a user with no rights, the variables of the Dockerfile, the token from a file. It takes an upload over HTTP, is well
  by the image's own health check, and ends in order.
- Prometheus with the configuration of deploy/ and the token's file sees it as up, and with another token as down.
- Every question of the rules and of the dashboard is one that Prometheus answers, from metrics that there are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import yaml

from checks import Failure, eventually, free_port, need, running
from deploy import DEPLOY, TOOLS, bare, image_variables, tool

TOKEN = "0123456789abcdef0123456789abcdef"
UPLOAD = "meter_id,timestamp,energy_value,energy_unit\nM,2026-03-02T00:00:00Z,1,kW\nM,2026-03-02T00:15:00Z,-1,kW\n"
WAIT_SECONDS = 60
# the user of the image
NOBODY = 65532


def ask(url: str, *, token: str = TOKEN, body: bytes | None = None) -> str:
    request = urllib.request.Request(url, data=body, method="PUT" if body else "GET")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def image_root(binary: str, root: Path) -> None:
    """What the image holds: the program, the libraries that it names, and empty places to mount."""
    for folder in ("dev", "proc", "tmp", "usr/local/bin", "var/lib/greenstream", "run/secrets"):
        (root / folder).mkdir(parents=True)
    shutil.copy(binary, root / "usr/local/bin/greenstream")
    for library in re.findall(r"(/\S+) \(0x", tool("ldd", binary)):
        target = root / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (root / "run/secrets/token").write_text(TOKEN)
    for device in ("null", "urandom"):
        (root / "dev" / device).touch()


def in_image(root: Path, home: Path, variables: dict[str, str], *arguments: str) -> list[str]:
    """The command that runs the program in there, with mounts that nobody else sees and that end with it."""
    place = shlex.quote(str(root))
    words = ["env", "-i", *[f"{name}={value}" for name, value in variables.items()], "PATH=/usr/local/bin"]
    words = [*words, shutil.which("chroot"), f"--userspec={NOBODY}:{NOBODY}", str(root), "greenstream", *arguments]
    script = " && ".join(
        [
            f"mount --bind {place} {place}",
            f"mount -t proc proc {place}/proc",
            *[f"mount --bind /dev/{device} {place}/dev/{device}" for device in ("null", "urandom")],
            f"mount --bind {shlex.quote(str(home))} {place}/var/lib/greenstream",
            f"mount -t tmpfs -o size=64m,mode=1777 tmpfs {place}/tmp",
            f"mount -o remount,ro,bind {place}",
            f"! touch {place}/written 2>/dev/null",
            f"exec {shlex.join(words)}",
        ]
    )
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


def variables_at(port: int) -> dict[str, str]:
    variables = image_variables()
    need(variables["GREENSTREAM__SERVE__LISTEN"] == "0.0.0.0:8321", "the image listens elsewhere than it says")
    return variables | {
        "GREENSTREAM__SERVE__LISTEN": f"0.0.0.0:{port}",
        "GREENSTREAM__SERVE__TOKEN_FILE": "/run/secrets/token",
    }


@contextmanager
def service(binary: str, scratch: Path, port: int):
    """The service as in its image where this user may mount, else as it is; stopped at the end, in order."""
    home = scratch / "home"
    home.mkdir()
    variables = variables_at(port)
    if os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0:
        root = scratch / "root"
        image_root(binary, root)
        os.chown(home, NOBODY, NOBODY)
        run = in_image(root, home, variables, "run")
        health = in_image(root, home, variables, "health")
        env = None
    else:
        (scratch / "token").write_text(TOKEN)
        variables |= {"GREENSTREAM_HOME": str(home), "GREENSTREAM__SERVE__TOKEN_FILE": str(scratch / "token")}
        run, health, env = [binary, "run"], [binary, "health"], bare(variables)
        print("deployed: the read-only root file system was NOT tried: that takes root and the right to mount")
    log = scratch / "log"
    with log.open("w") as file:
        process = subprocess.Popen(run, env=env, stdout=file, stderr=file)
    try:
        def is_well() -> bool:
            need(process.poll() is None, f"the service ended:\n{log.read_text()}")
            return subprocess.run(health, env=env, capture_output=True).returncode == 0

        eventually(is_well, "the image's health check", WAIT_SECONDS)
        yield home
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=WAIT_SECONDS)
        need(code == 0, f"the service exits {code}:\n{log.read_text()}")
        need(subprocess.run(health, env=env, capture_output=True).returncode == 69, "a stopped service is not well")
    finally:
        process.kill()
        process.wait()


@contextmanager
def prometheus(scratch: Path, target: int, token: str):
    """Prometheus with our configuration; only addresses, places and pauses are of this machine."""
    folder = scratch / f"prometheus-{token}"
    folder.mkdir()
    (folder / "token").write_text(token)
    text = (DEPLOY / "prometheus/prometheus.yml").read_text()
    text = text.replace("/run/secrets/token", str(folder / "token")).replace("greenstream:8321", f"127.0.0.1:{target}")
    (folder / "prometheus.yml").write_text(text.replace("15s", "1s"))
    shutil.copy(DEPLOY / "prometheus/rules.yml", folder / "rules.yml")
    port = free_port()
    command = [TOOLS / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "log").open("w") as log, running(command, stdout=log, stderr=log):
        yield lambda path, **question: answer(f"http://127.0.0.1:{port}/api/v1/{path}", question)


def answer(url: str, question: dict[str, str]) -> dict:
    try:
        return json.loads(ask(f"{url}?{urllib.parse.urlencode(question)}"))["data"]
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return {}  # it has not begun yet
        raise Failure(f"{question}: {error.read().decode()}") from error
    except (urllib.error.URLError, ConnectionError):
        return {}


def watched(query: Callable[..., dict], is_up: bool) -> None:
    def is_seen() -> bool:
        result = query("query", query='up{job="greenstream"}').get("result", [])
        return bool(result) and result[0]["value"][1] == ("1" if is_up else "0")

    eventually(is_seen, f"Prometheus sees the service as {'up' if is_up else 'down'}", WAIT_SECONDS)


def questions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((DEPLOY / "compose/grafana/dashboards/greenstream.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [target["expr"].replace("$__rate_interval", "1m") for target in targets if "expr" in target]


def check(binary: str, scratch: Path) -> str:
    port = free_port()
    with service(binary, scratch, port):
        landed = json.loads(ask(f"http://127.0.0.1:{port}/v1/uploads/a.csv", body=UPLOAD.encode()))
        need(landed["status"] == "landed", f"the upload is {landed}")
        with prometheus(scratch, port, TOKEN) as query:
            watched(query, True)
            counted = lambda: query("query", query="greenstream_rows_stored == 1").get("result")  # noqa: E731
            eventually(counted, "the row is counted", WAIT_SECONDS)
            there = set(query("label/__name__/values"))
            asked = questions()
            for question in asked:
                query("query", query=question)
                for metric in re.findall(r"\b(?:greenstream_\w+|up)\b", re.sub(r'"[^"]*"', "", question)):
                    need(metric in there, f"{question}: there is no metric {metric}")
            groups = query("rules")["groups"]
            bad = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
            need(groups and not bad, f"rules that cannot be judged: {bad}")
            raised = {(alert["labels"]["alertname"], alert["state"]) for alert in query("alerts")["alerts"]}
            # nor does a new service wait for the time of this one; the others may pass at a start
            bad = [one for one in raised if one[1] == "firing" or one[0] == "GreenStreamNothingArrives"]
            need(not bad, f"a service that is well raises {bad}")
        with prometheus(scratch, port, "another-token-of-16") as query:
            watched(query, False)
    return f"in its image's place, watched by Prometheus, {len(asked)} questions answered"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="greenstream-deployed-") as folder:
            scratch = Path(folder)
            # the image's user must get through to its root and its home
            scratch.chmod(0o755)
            done = check(str(Path(sys.argv[1]).resolve()), scratch)
    except Failure as failure:
        print(f"deployed: {failure}")
        return 1
    print(f"deployed: the service runs {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
