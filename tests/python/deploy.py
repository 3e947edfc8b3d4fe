"""Every file of deploy/ by the tool that reads it, and its configuration by the program.

    python deploy.py BINARY        the interpreter that setup-deploy.sh prints; BINARY with every part

- the Dockerfile by hadolint; its context holds what the build reads; its Rust is that of the repository;
- the compose file by docker compose; what it sets for the service is what the program takes;
- the manifests by the schemas of Kubernetes and KEDA, and what they name of each other is there;
- the unit and its drop-in by systemd-analyze, their configuration and command line by the program;
- the function's variables in the template for AWS by the program (the template itself by cfn-lint, in scripts/test);
- rules, their tests, the configuration of Prometheus and that of the docs by promtool;
- the dashboard by Grafana's models, its data sources as provisioned, its SQL on the views of a real home and, by the
  role that compose makes for it, of a PostgreSQL server.

Whatever it runs on, the program's memory fits, and an alert tells of a full disk before uploads are refused.

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
from urllib.parse import urlsplit

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from checks import Failure, need
from template import Tags

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
MIB, GIB = 1 << 20, 1 << 30
# objects of the inbox bucket that are fetched at the same time (docs/limits.md)
FETCHED_AT_ONCE = 16
# where a scheme's address has no port
PORTS = {"postgresql": 5432, "https": 443, "http": 80, "nats": 4222, "tls": 4222, "s3": 443, "gs": 443, "az": 443}
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


def image_variables() -> dict[str, str]:
    """What the image sets."""
    text = (DEPLOY / "container/Dockerfile").read_text()
    env = re.search(r"^ENV (.+?[^\\])$", text, re.M | re.S)[1].replace("\\\n", " ")
    return dict(word.split("=", 1) for word in env.split())


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
    keys = check_config(binary, "meaning", image_variables() | variables)
    for name, value in variables.items():
        if name.startswith("GREENSTREAM__") and value:
            key = name.removeprefix("GREENSTREAM__").lower().replace("__", ".")
            need(keys[key][1] == name, f"{key} is from {keys[key][1]}")
    holds(keys, int(own["mem_limit"]), "compose.yaml")
    tells_in_time(keys, "compose.yaml")
    for name in re.findall(r"\$\{(\w+):", (DEPLOY / "compose/compose.yaml").read_text()):
        need(f"`{name}`" in (ROOT / "docs/deploy.md").read_text(), f"docs/deploy.md does not name {name}")
    return f"{len(project['services'])} services"


def holds(keys: dict[str, tuple[object, str]], limit: int, what: str) -> None:
    """docs/limits.md: the memory of several uploads of the largest size in a row; a server has a stage more."""
    stages = 8 if keys["store.url"][0] == "none" else 9
    needed = stages * int(keys["sizes.upload_bytes_max"][0]) + 384 * MIB
    need(needed <= limit, f"{what}: {needed} bytes of memory may be needed, and {limit} are allowed")


def tells_in_time(keys: dict[str, tuple[object, str]], what: str) -> None:
    """The alert of a full disk comes while uploads are still taken."""
    told = int(re.search(r"greenstream_volume_free_bytes < (\d+)$", (DEPLOY / "prometheus/rules.yml").read_text(), re.M)[1])
    refused = int(keys["upload.free_bytes_min"][0])
    need(refused < told, f"{what}: uploads are refused below {refused} bytes, and the alert comes below {told}")


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
                # KEDA 2.17.0 does not take the default for it
                typed = trigger.get("metricType") == "AverageValue"
                need(typed or "fallback" not in document["spec"], f"{trigger['type']}: a fallback wants metricType")
        else:
            kubernetes_validate.validate(document, "1.37", strict=True)
        # whoever goes by them asks without the token
        need("prometheus.io/scrape" not in json.dumps(document), f"{kind} {name} is to be scraped without a token")
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
        if "configMapRef" in source:
            variables |= of["ConfigMap", source["configMapRef"]["name"]]["data"]
        else:
            need(source["secretRef"]["optional"], f"{what}: {source} need not be there")
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
    own = {variable["name"]: variable["value"] for variable in main["env"]}
    [place] = [mount["mountPath"] for mount in main["volumeMounts"] if mount["name"] == "config"]
    # by a variable, so that what is run in there by hand has it, too
    need(own == {"GREENSTREAM_CONFIG": f"{place}/{file.name}"} and main["args"] == ["run"], f"{what}: {own} {main['args']}")
    keys = check_config(binary, "meaning", image_variables() | variables | {"GREENSTREAM_CONFIG": str(file)})
    need(keys["serve.token_file"][1].startswith("line "), f"{what}: the configuration is not read")
    for key in variables:
        need(keys[key.removeprefix("GREENSTREAM__").lower().replace("__", ".")][1] == key, f"{what}: {key}")
    memory = main["resources"]["limits"]["memory"]
    holds(keys, int(memory.removesuffix("Gi")) * GIB, what)
    tells_in_time(keys, what)
    stays_within(keys, pod["spec"]["volumes"], main["resources"]["requests"], what)
    egress = of["NetworkPolicy", "greenstream"]["spec"]["egress"]
    open_ports = {port["port"] for rule in egress if "to" not in rule for port in rule["ports"]}
    for key, port in ports(keys).items():
        need(port in open_ports, f"{what}: {key} is at port {port}, which the network policy does not let through")


def stays_within(keys: dict[str, tuple[object, str]], volumes: list[dict], requests: dict[str, str], what: str) -> None:
    """The objects that are fetched at once fit into a volume that ends with the pod, and the node has been asked for it."""
    empty = {volume["name"]: volume["emptyDir"] for volume in volumes if "emptyDir" in volume}
    sizes = {name: int(kept["sizeLimit"].removesuffix("Gi")) for name, kept in empty.items() if kept.get("medium") != "Memory"}
    if "home" in sizes:
        fetched = FETCHED_AT_ONCE * int(keys["upload.bytes_max"][0])
        need(2 * fetched <= sizes["home"] * GIB, f"{what}: {fetched} bytes may be fetched, and as many come by HTTP")
    asked = int(requests.get("ephemeral-storage", "0Gi").removesuffix("Gi"))
    need(sum(sizes.values()) <= asked, f"{what}: {asked} GiB are asked for, and the volumes have {sizes}")


def ports(keys: dict[str, tuple[object, str]]) -> dict[str, int]:
    """The port of each address that is named; a server that speaks S3 has that of its buckets."""
    named = {key: urlsplit(str(value)) for key, (value, _) in keys.items() if "://" in str(value)}
    endpoint = named.pop("objects.endpoint", None)
    found = {}
    for key, url in named.items():
        at = endpoint if endpoint and url.scheme == "s3" else url
        found[key] = at.port or PORTS[at.scheme]
    return found


def systemd(binary: str, scratch: Path) -> str:
    unit, drop_in = [(DEPLOY / "systemd" / name).read_text() for name in ("greenstream.service", "postgresql.conf")]
    settings = re.findall(r"^(\w+)=(.*)$", unit, re.M)
    [line] = [value for name, value in settings if name == "ExecStart"]
    need(line == "/usr/local/bin/greenstream run", f"the unit starts {line}")
    [maximum] = [value for name, value in settings if name == "MemoryMax"]
    config = scratch / "unit.toml"
    config.write_text("[serve]\nlisten = \"127.0.0.1:0\"\n")
    database = '[store]\nurl = "postgresql://greenstream@127.0.0.1:5432/greenstream?sslmode=verify-full"\n'
    places = {"GREENSTREAM_HOME": str(scratch / "home"), "GREENSTREAM_CONFIG": str(config)}
    for text, more in ((unit, ""), (unit + drop_in, database)):
        credentials = dict(re.findall(r"^LoadCredential=([\w-]+):(/etc/greenstream/\S+)$", text, re.M))
        variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.M))
        need(places.keys() <= variables.keys(), f"the unit does not say where home and configuration are: {variables}")
        need(by_hand(scratch, text) == (credentials, variables), "as-service does not run what the service runs")
        for name, value in variables.items():
            if value.startswith("%d/"):
                need(value.removeprefix("%d/") in credentials, f"{name} names no credential")
                (scratch / value.removeprefix("%d/")).write_text("0123456789abcdef0123456789abcdef\n")
        variables = {name: value.replace("%d", str(scratch)) for name, value in variables.items()} | places
        level = "meaning" if more else "reachability"
        config.write_text(config.read_text() + more)
        keys = check_config(binary, level, variables)
        need(keys["serve.listen"][1].startswith("line "), "the configuration is not read")
        holds(keys, int(maximum.removesuffix("G")) * GIB, "the unit on PostgreSQL" if more else "the unit")
        tells_in_time(keys, "the unit")
    if shutil.which("systemd-analyze") is None:
        return "the unit's command line; systemd-analyze is not here and was NOT run"
    copy = scratch / "greenstream.service"
    copy.write_text(unit.replace("/usr/local/bin/greenstream", binary))
    for drop_ins in (0, 1):
        if drop_ins:
            (scratch / "greenstream.service.d").mkdir()
            (scratch / "greenstream.service.d/postgresql.conf").write_text(drop_in)
        done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
        need(done.returncode == 0 and not done.stderr.strip(), done.stderr)
    return "the unit"


def by_hand(scratch: Path, text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The credentials and variables with which as-service runs a command, of a unit that reads so; no systemd is asked."""
    tools = scratch / "by-hand"
    tools.mkdir(exist_ok=True)
    (scratch / "unit").write_text(text)
    for name, line in (("systemctl", f"cat '{scratch}/unit'"), ("systemd-run", "printf '%s\\n' \"$@\"")):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    said = tool(str(DEPLOY / "systemd/as-service"), "errors", "two words", env={"PATH": f"{tools}:{os.environ['PATH']}"})
    words = said.splitlines()
    need(words[-3:] == ["/usr/local/bin/greenstream", "errors", "two words"], f"as-service runs {words}")
    need(re.findall(r"^--property=(User=.*)$", said, re.M) == re.findall(r"^(User=.*)$", text, re.M), f"another user: {words}")
    [unit] = re.findall(r"^--unit=(.*)$", said, re.M)
    variables = dict(re.findall(r"^--property=Environment=(\w+)=(.*)$", said, re.M))
    variables = {name: value.replace(f"/run/credentials/{unit}.service", "%d") for name, value in variables.items()}
    return dict(re.findall(r"^--property=LoadCredential=([\w-]+):(.*)$", said, re.M)), variables


def aws(binary: str) -> str:
    """The function's own variables, with and without a database on a server."""
    template = yaml.load((DEPLOY / "aws/template.yaml").read_text(), Tags)  # noqa: S506: a safe loader
    function = template["Resources"]["Function"]["Properties"]
    named = {"DatabaseUrl": "postgresql://greenstream@db.example:5432/meters?sslmode=require"}
    value = lambda text: re.sub(r"\$\{(\w+)\}", lambda name: named.get(name[1], name[1].lower()), text)  # noqa: E731
    variables = {name: value(text) for name, text in function["Environment"]["Variables"].items()}
    alone = {name: text for name, text in variables.items() if name not in ("GREENSTREAM__STORE__URL", "PGPASSWORD")}
    need(len(variables) - len(alone) == 2, "the template names no database")
    for given in (variables, alone):
        keys = check_config(binary, "meaning", given)
        for name in [name for name in given if name.startswith("GREENSTREAM__")]:
            need(keys[name.removeprefix("GREENSTREAM__").lower().replace("__", ".")][1] == name, f"the template's {name}")
        holds(keys, function["MemorySize"] * MIB, "template.yaml")
    return f"{len(variables)} variables of the function"


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
    # the configuration that the docs have for a cluster; its token's file is there
    blocks = re.findall(r"^```yaml\n(scrape_configs:\n.*?)^```", (ROOT / "docs/deploy.md").read_text(), re.M | re.S)
    need(len(blocks) == 1, "docs/deploy.md does not say how Prometheus asks in a cluster")
    # Debian's Prometheus is built without what asks a cluster
    (scratch / "scrape.yml").write_text(re.sub(r"^ +kubernetes_sd_configs: .*\n", "", blocks[0], flags=re.M))
    tool("promtool", "check", "config", "--syntax-only", scratch / "scrape.yml")
    [job] = yaml.safe_load(blocks[0])["scrape_configs"]
    need(f'job="{job["job_name"]}"' in (folder / "rules.yml").read_text() and "authorization" in job, "another job")
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
    answered = {}
    for target in [target for target in targets if "rawSql" in target]:
        # as Grafana's source for PostgreSQL does
        sql = target["rawSql"].replace("${meter:sqlstring}", f"'{meter}'")
        sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN '2026-03-02T00:00:00Z' AND '2026-03-05T00:00:00Z'", sql)
        need("$" not in sql, f"a variable is left in {sql}")
        try:
            cursor = database.execute(sql)
            answered[sql] = len(cursor.fetchall())
        except sqlite3.Error as error:
            raise Failure(f"{sql}: {error}") from error
        need(answered[sql] or "from alerts" in sql or "from episodes" in sql, f"no row by {sql}")
        need(target["format"] != "time_series" or cursor.description[0][0] == "time", f"no time in {sql}")
    on_postgresql(binary, scratch, fleet, answered)
    return f"{len(dashboard['panels'])} panels, {len(answered)} questions in SQL"


def on_postgresql(binary: str, scratch: Path, fleet: Path, answered: dict[str, int]) -> None:
    """The same questions by the role that compose makes for them, with its password; as many rows by each."""
    servers = ROOT / "scripts/postgres"
    folder, url = tool(str(servers), "start", "--password").split()
    try:
        server = urlsplit(url)
        owner = os.environ | {
            "PGHOST": str(server.hostname),
            "PGPORT": str(server.port),
            "PGPASSWORD": (Path(folder) / "password").read_text().strip(),
            # as in compose.yaml
            "POSTGRES_USER": "greenstream",
            "POSTGRES_DB": "greenstream",
        }
        tool("psql", "--quiet", "--no-psqlrc", url, "--command", "create database greenstream", env=owner)
        reader = scratch / "reader.sh"
        reader.write_text(secrets_in(scratch, (DEPLOY / "compose/postgres/reader.sh").read_text()))
        tool("sh", reader, env=owner)
        places = {
            "GREENSTREAM__STORE__URL": server._replace(path="/greenstream").geturl(),
            "GREENSTREAM__STORE__READER_ROLE": "greenstream_reader",
            "PGPASSWORD": owner["PGPASSWORD"],
        }
        tool(binary, "--home", scratch / "server", "ingest", fleet, env=bare(places))
        asking = owner | {"PGPASSWORD": (scratch / "reader-password").read_text().strip()}
        for sql, rows in answered.items():
            who = ["--username", "greenstream_reader", "--dbname", "greenstream"]
            said = tool("psql", "--quiet", "--no-psqlrc", "--csv", "--tuples-only", *who, "--command", sql, env=asking)
            need(len(said.splitlines()) == rows, f"{sql}: {len(said.splitlines())} rows on a server, {rows} in a file")
    finally:
        tool(str(servers), "stop", folder)


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
                aws(binary),
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
