"""Every file of deploy/ by the tool that reads it, and its configuration by the program.

    python deploy.py BINARY        the interpreter that setup-deploy.sh prints

- the Dockerfile by hadolint; its context holds what the build reads; its Rust is that of the repository;
- the compose file by docker compose; what it sets for the service is what the program takes;
- the manifests by the schemas of Kubernetes and KEDA, and what they name of each other is there;
- the unit by systemd-analyze, its configuration and command line by the program;
- rules, their tests and the configuration of Prometheus by promtool;
- the dashboard by Grafana's models, its data sources as provisioned, its SQL on the views of a real home.

What cannot be tried without a container engine or a cluster, docs/deploy.md lists.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from checks import Failure, need

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
GIB = 1 << 30
# the parameters that KEDA's scalers take (keda.sh/docs/scalers): their names are free text to its schema
SCALERS = {
    "aws-sqs-queue": {"queueURL", "queueURLFromEnv", "queueLength", "activationQueueLength", "scaleOnInFlight",
                      "scaleOnDelayed", "awsRegion", "awsEndpoint", "identityOwner"},
    "nats-jetstream": {"natsServerMonitoringEndpoint", "account", "stream", "consumer", "lagThreshold",
                       "activationLagThreshold", "useHttps"},
    "cron": {"timezone", "start", "end", "desiredReplicas"},
}


def tool(name: str, *arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    found = TOOLS / name
    command = [str(found if found.exists() else name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd)
    need(done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def documents(*paths: Path) -> list[dict]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def bare(variables: dict[str, str]) -> dict[str, str]:
    """An environment in which nothing of ours is set but these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GREENSTREAM")}
    return own | variables


def check_config(binary: str, level: str, variables: dict[str, str], *arguments: object) -> dict[str, tuple[object, str]]:
    """The keys in force by the program: value and origin of each."""
    told = tool(binary, *arguments, "check-config", "--level", level, "--json", env=bare(variables))
    return {row["key"]: (row["value"], row["from"]) for row in json.loads(told)["keys"]}


def secrets_in(folder: Path, text: str) -> str:
    """The text with the places of secrets, which are there in a container only, led to a folder that has them."""
    for name in ("token", "database-password", "reader-password"):
        (folder / name).write_text("0123456789abcdef0123456789abcdef\n")
    return re.sub(r"/run/secrets(/greenstream)?", str(folder), text)


def container() -> str:
    dockerfile = DEPLOY / "container/Dockerfile"
    tool("hadolint", dockerfile)
    text = dockerfile.read_text()
    channel = re.search(r'channel = "(.+)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    need(f"ARG RUST={channel}\n" in text, f"the image is not built by Rust {channel}")
    last = text[text.rindex("\nFROM ") :]
    need(re.search(r"^USER 65532:65532$", last, re.M) and "HEALTHCHECK" in last, "no user or no health check")
    # the context: all but what is let in
    let_in = [line[1:] for line in Path(f"{dockerfile}.dockerignore").read_text().splitlines() if line.startswith("!")]
    read = {ROOT / "Cargo.toml", ROOT / "Cargo.lock"}
    for source in ROOT.glob("crates/*/src/**/*.rs"):
        read |= {(source.parent / name).resolve() for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text())}
    for path in read:
        need(any(path.is_relative_to(ROOT / name) for name in let_in), f"the context of the build lacks {path}")
    return f"Dockerfile and {len(read)} files that its build reads"


def compose(binary: str, scratch: Path) -> str:
    copy = scratch / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets", "inbox"))
    begin = copy / "compose/begin"
    tool(str(begin))
    made = {path.name: path.read_text() for path in (copy / "compose/secrets").iterdir()}
    tool(str(begin))
    again = {path.name: path.read_text() for path in (copy / "compose/secrets").iterdir()}
    need(made == again and all(len(secret) == 65 for secret in made.values()), "begin changes secrets that are there")
    file = copy / "compose/compose.yaml"
    project = json.loads(tool("docker-compose", "--file", file, "config", "--format", "json"))
    for name, secret in project["secrets"].items():
        need(Path(secret["file"]).exists(), f"begin does not make the secret {name}")
    mounts = [(service, mount) for service in project["services"].values() for mount in service.get("volumes", [])]
    for _, mount in mounts:
        need(mount["type"] != "bind" or Path(mount["source"]).exists(), f"{mount['source']} is not there")
    for name, service in project["services"].items():
        need(":" in service.get("image", "") and service["restart"] == "unless-stopped", f"{name}: image or restart")
        for port in service.get("ports", []):
            need(port.get("host_ip") == "127.0.0.1", f"{name} is open to other machines")
    own = project["services"]["greenstream"]
    need(own["read_only"] and own["cap_drop"] == ["ALL"], "the service may do more than it needs")
    variables = {name: secrets_in(scratch, value or "") for name, value in own["environment"].items()}
    keys = check_config(binary, "syntax", variables)
    for name, value in variables.items():
        if name.startswith("GREENSTREAM__") and value:
            key = name.removeprefix("GREENSTREAM__").lower().replace("__", ".")
            need(keys[key][1] == name, f"{key} is from {keys[key][1]}")
    holds(keys, int(own["mem_limit"]), "compose.yaml")
    return f"{len(project['services'])} services"


def holds(keys: dict[str, tuple[object, str]], limit: int, what: str) -> None:
    """docs/limits.md: the memory of several uploads of the largest size in a row."""
    needed = 8 * int(keys["sizes.upload_bytes_max"][0]) + (384 << 20)
    need(needed <= limit, f"{what}: {needed} bytes of memory may be needed, and {limit} are allowed")


def kubernetes(binary: str, scratch: Path) -> str:
    paths = sorted(DEPLOY.glob("kubernetes/*/*.yaml"))
    for document in documents(*paths):
        kind, name = document["kind"], document["metadata"]["name"]
        if document["apiVersion"].startswith("keda.sh/"):
            model = getattr(keda, kind).model_validate(document)
            lost(document, json.loads(model.model_dump_json(by_alias=True, exclude_none=True)), f"{kind} {name}")
            for trigger in document["spec"].get("triggers", []):
                unknown = set(trigger["metadata"]) - SCALERS[trigger["type"]]
                need(not unknown, f"{trigger['type']} takes no {unknown}")
        else:
            kubernetes_validate.validate(document, "1.37", strict=True)
    for way, others in (("one", []), ("many", ["keda-sqs"]), ("many", ["keda-nats"])):
        applied = documents(*[path for path in paths if path.parent.name in [way, *others]])
        together(binary, scratch, f"kubernetes/{way} {' '.join(others)}", applied)
    return f"{len(documents(*paths))} manifests"


def together(binary: str, scratch: Path, what: str, applied: list[dict]) -> None:
    """What is applied at once names nothing of it that is not there, and the program takes its configuration."""
    of = {(document["kind"], document["metadata"]["name"]): document for document in applied}
    need(len(of) == len(applied), f"{what}: something is there twice")
    [workload] = [document for document in applied if document["kind"] in ("Deployment", "StatefulSet")]
    pod = workload["spec"]["template"]
    [main] = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"].items()
    for kind in ("Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec = of[kind, "greenstream"]["spec"]
        chosen = spec.get("podSelector", spec["selector"] if kind != "NetworkPolicy" else {})
        need(chosen.get("matchLabels", chosen).items() <= labels, f"{what}: {kind} chooses other pods")
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    need({mount["name"] for mount in main["volumeMounts"]} == volumes, f"{what}: volumes and mounts differ")
    security = main["securityContext"]
    need(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], f"{what}: may do too much")
    variables = {}
    for source in main.get("envFrom", []):
        variables |= of["ConfigMap", source["configMapRef"]["name"]]["data"]
    for document in applied:
        if document["kind"] == "ScaledObject":
            need(("Deployment", document["spec"]["scaleTargetRef"]["name"]) in of, f"{what}: scales nothing")
            for trigger in document["spec"]["triggers"]:
                need(trigger["metadata"].get("queueURLFromEnv") in [None, *variables], f"{what}: no such variable")
                for name in ("stream", "consumer"):
                    ours = variables.get(f"GREENSTREAM__TRIGGER__NATS__{name.upper()}")
                    need(trigger["metadata"].get(name) in (None, ours), f"{what}: another {name}")
    file = scratch / "greenstream.toml"
    file.write_text(secrets_in(scratch, of["ConfigMap", "greenstream"]["data"]["greenstream.toml"]))
    keys = check_config(binary, "syntax", variables, "--config", file)
    for key in variables:
        need(keys[key.removeprefix("GREENSTREAM__").lower().replace("__", ".")][1] == key, f"{what}: {key}")
    memory = main["resources"]["limits"]["memory"]
    holds(keys, int(memory.removesuffix("Gi")) * GIB, what)


def systemd(binary: str, scratch: Path) -> str:
    unit = (DEPLOY / "systemd/greenstream.service").read_text()
    settings = re.findall(r"^(\w+)=(.*)$", unit, re.M)
    (scratch / "token").write_text("0123456789abcdef0123456789abcdef\n")
    variables = dict(value.split("=", 1) for name, value in settings if name == "Environment")
    variables = {name: value.replace("%d", str(scratch)) for name, value in variables.items()}
    variables["GREENSTREAM_HOME"] = str(scratch / "home")
    config = scratch / "unit.toml"
    config.write_text("[serve]\nlisten = \"127.0.0.1:0\"\n")
    line = next(value for name, value in settings if name == "ExecStart")
    words = line.replace("/usr/local/bin/greenstream", binary).replace("/etc/greenstream/greenstream.toml", str(config))
    need(words.endswith(f"--config {config} run"), "the unit starts something else")
    tool(*words.removesuffix(" run").split(), "check-config", "--level", "reachability", env=bare(variables))
    maximum = next(value for name, value in settings if name == "MemoryMax")
    holds(check_config(binary, "meaning", variables, "--config", config), int(maximum.removesuffix("G")) * GIB, "systemd")
    if shutil.which("systemd-analyze") is None:
        return "the unit's command line; systemd-analyze is not here and was NOT run"
    copy = scratch / "greenstream.service"
    copy.write_text(unit.replace("/usr/local/bin/greenstream", binary))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    need(done.returncode == 0 and not done.stderr.strip(), done.stderr)
    return "the unit"


def prometheus(scratch: Path) -> str:
    folder = DEPLOY / "prometheus"
    for name in ("prometheus.yml", "rules.yml"):
        (scratch / name).write_text(secrets_in(scratch, (folder / name).read_text()))
    tool("promtool", "check", "config", scratch / "prometheus.yml")
    tool("promtool", "check", "rules", folder / "rules.yml")
    tool("promtool", "test", "rules", "rules_test.yml", cwd=folder)
    alerts = [rule["alert"] for group in yaml.safe_load((folder / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    tests = (folder / "rules_test.yml").read_text()
    for alert in alerts:
        need(tests.count(alert) >= 2, f"{alert} is not tried on both sides")
    return f"{len(alerts)} alerts"


def lost(given: object, taken: object, place: str) -> None:
    """Fails unless a model took all that it was given: what it does not know it leaves out."""
    if isinstance(given, dict):
        need(isinstance(taken, dict), f"{place} is no object to the model")
        for name, value in given.items():
            need(name in taken, f"{place}: {name} is not known")
            lost(value, taken[name], f"{place}/{name}")
    elif isinstance(given, list):
        need(isinstance(taken, list) and len(given) == len(taken), f"{place} has another length")
        for number, (one, other) in enumerate(zip(given, taken)):
            lost(one, other, f"{place}/{number}")
    else:
        need(given == taken, f"{place}: {given!r} became {taken!r}")


def grafana(binary: str, scratch: Path) -> str:
    folder = DEPLOY / "compose/grafana"
    sources = yaml.safe_load((folder / "provisioning/datasources/greenstream.yaml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in sources}
    dashboard = json.loads((folder / "dashboards/greenstream.json").read_text())
    plugins.register_default_plugins()
    lost(dashboard, json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard))), "dashboard")
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    for part in [*dashboard["panels"], *targets]:
        need((part["datasource"]["type"], part["datasource"]["uid"]) in known, f"no data source {part['datasource']}")
    # the views have the same names and columns in SQLite and PostgreSQL (docs/spec/contract.md)
    fleet, home = scratch / "fleet", scratch / "demo"
    tool(binary, "simulate", "--meters", 20, "--days", 9, "--out", fleet, env=bare({}))
    tool(binary, "--home", home, "ingest", fleet, env=bare({}))
    database = sqlite3.connect(f"file:{home}/greenstream.db?mode=ro", uri=True)
    [meter] = database.execute("select min(meter_id) from readings").fetchone()
    asked = 0
    for sql in [target["rawSql"] for target in targets if "rawSql" in target]:
        sql = sql.replace("${meter:sqlstring}", f"'{meter}'")
        sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 between '2026-03-02' and '2026-03-05'", sql)
        need("$" not in sql, f"a variable is left in {sql}")
        try:
            rows = database.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise Failure(f"{sql}: {error}") from error
        need(rows or "from alerts" in sql or "from episodes" in sql, f"no row by {sql}")
        asked += 1
    return f"{len(dashboard['panels'])} panels, {asked} questions in SQL"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    binary = str(Path(sys.argv[1]).resolve())
    done = []
    try:
        with tempfile.TemporaryDirectory(prefix="greenstream-deploy-") as folder:
            scratch = Path(folder)
            done = [
                container(),
                compose(binary, scratch),
                kubernetes(binary, scratch),
                systemd(binary, scratch),
                prometheus(scratch),
                grafana(binary, scratch),
            ]
    except (Failure, kubernetes_validate.ValidationError) as failure:
        print(f"deploy: {failure}")
        return 1
    print(f"deploy: every file is as its tool wants it: {'; '.join(done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
