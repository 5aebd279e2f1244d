"""The image and the composition, as far as they can be read without an engine."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.main import get_command

from worker import __version__
from worker.cli.app import commands
from worker.config import Config

ROOT = Path(__file__).parents[2]
MANIFESTS = ("deploy/kubernetes/worker.yaml", "deploy/kubernetes/cronjob.yaml")
UNIT = "deploy/systemd/mailchimp-worker.service"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def health_check() -> list[str]:
    """The command by which Docker asks whether a container is healthy."""
    found: list[str] = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", DOCKERFILE)[1])  # type: ignore[index]
    return found


def test_the_image_runs_as_a_user_without_rights():
    """The last stage runs as a numbered user, keeps its data on a volume and ends on SIGTERM."""
    last = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "VOLUME /data" in last
    assert "STOPSIGNAL SIGTERM" in last


def test_the_commands_of_image_and_composition_are_there():
    """The image's own command and the stand-in's are commands, with options that they have."""
    entry = json.loads(re.search(r"^CMD (\[.*\])", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
    for command in (entry, COMPOSE["services"]["sandbox"]["command"]):
        found = get_command(commands).get_command(None, command[0])  # type: ignore[attr-defined]
        known = {name for option in found.params for name in option.opts}
        assert {one for one in command if one.startswith("--")} <= known, command


def test_the_health_check_starts_no_python():
    """It asks the web server by the shell; tests/e2e/test_main_job.py runs it."""
    shell, option, script = health_check()
    assert (shell, option) == ("bash", "-c")
    assert "/healthz" in script
    assert not re.search(r"python|mailchimp-worker|curl|wget", script)


def test_dependencies_are_installed_by_hash():
    """What goes into the image, and what builds it, is named by lock files and nothing else."""
    installs = [line for line in re.sub(r"\\\n", "", DOCKERFILE).split("&&") if "pip" in line and " install " in line]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes --requirement requirements" in line or "--no-deps --no-index /wheels" in line, line


def test_every_variable_named_is_a_setting():
    """The image and the composition name no setting that there is not."""
    files = ("docker-compose.yml", *MANIFESTS, UNIT)
    text = DOCKERFILE + "".join((ROOT / one).read_text(encoding="utf-8") for one in files)
    for variable in set(re.findall(r"\bWORKER_[A-Z_]+[A-Z]\b", text)) - {"WORKER_CONFIG"}:
        section, _, name = variable.removeprefix("WORKER_").lower().partition("__")
        field = Config.model_fields[section]
        assert not name or name in field.annotation.model_fields, variable  # type: ignore[union-attr]


def test_the_worker_of_the_composition_can_write_to_its_volume_only():
    """It has a read-only file system, no capabilities and no new privileges; it makes its secret key on the volume."""
    worker = COMPOSE["services"]["worker"]
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert worker["security_opt"] == ["no-new-privileges:true"]
    assert worker["volumes"] == ["worker:/data"]
    assert not [one for one in worker["environment"] if "SECRET_KEY" in one]
    assert "secrets" not in COMPOSE


def test_images_are_pinned_and_the_stand_in_is_a_profile():
    """Images have a version and a digest; the stand-in and the demo start only when they are asked for."""
    for name, service in COMPOSE["services"].items():
        image = service["image"]
        assert image == "mailchimp-worker" or re.search(r":\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", image), name
    (base,) = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert re.fullmatch(r"python:3\.13-slim@sha256:[0-9a-f]{64}", base)
    assert COMPOSE["services"]["sandbox"]["profiles"] == ["sandbox", "demo"]
    started = {name for name, service in COMPOSE["services"].items() if "profiles" not in service}
    assert started == {"kafka", "topic", "worker"}


def test_the_topic_is_compacted():
    """Customers' last events never expire."""
    assert "--config=cleanup.policy=compact" in COMPOSE["services"]["topic"]["entrypoint"]


def test_lock_files_name_hashes_and_no_addresses():
    """Every locked version has hashes, and no registry's address is among them."""
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_the_composition_is_valid():
    """It is what the published schema of Compose files asks for."""
    package = importlib.util.find_spec("check_jsonschema")
    if package is None or package.origin is None:
        pytest.skip("no schema of Compose files; the file was only parsed")
    schema = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))


def test_health_checks_of_the_composition_start_no_jvm_and_no_python():
    """The broker and the stand-in are asked by bash alone, on ports where they listen."""
    services = COMPOSE["services"]
    for name, port in (("kafka", 9092), ("sandbox", 8090)):
        assert services[name]["healthcheck"]["test"] == ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
    assert "PLAINTEXT://:9092" in services["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert "8090" in services["sandbox"]["command"]


def test_programs_of_the_host_reach_the_broker_where_the_worker_looks_by_default():
    """The listener that says localhost is the published port, and the default of kafka.bootstrap_servers."""
    kafka = COMPOSE["services"]["kafka"]
    address, port, inside = kafka["ports"][0].split(":")
    assert address == "127.0.0.1"
    assert f"HOST://localhost:{port}" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"HOST://:{inside}" in kafka["environment"]["KAFKA_LISTENERS"]
    assert Config().kafka.bootstrap_servers == f"localhost:{port}"


def test_the_demo_has_a_topic_and_a_database_of_its_own():
    """The worker beside it never sees the stand-in's keys; script and events are in the image."""
    demo, worker = (COMPOSE["services"][one] for one in ("demo", "worker"))
    topic = demo["environment"]["WORKER_KAFKA__TOPIC"]
    assert COMPOSE["services"]["demo-topic"]["command"] == [f"--topic={topic}"]
    assert topic != Config().kafka.topic
    assert demo["volumes"] != worker["volumes"]
    assert demo["environment"]["WORKER_KAFKA__GROUP_ID"] != Config().kafka.group_id
    assert "COPY config /etc/mailchimp-worker" in DOCKERFILE
    assert "/etc/mailchimp-worker/demo.sh" in demo["entrypoint"][-1]
    assert "!config" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_pages_of_the_demo_are_for_this_machine_alone():
    """They are on a port of their own beside the worker's, with a token that is made for each start."""
    demo, worker = (COMPOSE["services"][one] for one in ("demo", "worker"))
    port = demo["environment"]["WORKER_WEB__PORT"]
    assert demo["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert demo["ports"] != worker["ports"]
    assert demo["environment"]["WORKER_WEB__HOST"] == "0.0.0.0"
    assert 'WORKER_WEB__TOKEN="$$(head -c 24 /dev/urandom' in demo["entrypoint"][-1]
    assert "mailchimp-worker link" in (ROOT / "config" / "demo.sh").read_text(encoding="utf-8")


def test_the_image_says_what_it_is():
    """Its labels have the project's own name, description, licence and version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', DOCKERFILE))
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "version": __version__,
        "licenses": project["license"],
    }


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_manifests_are_valid(name: str):
    """They are what Kubernetes' published schemas ask for, without unknown fields."""
    validator = pytest.importorskip("kubernetes_validate", reason="no schemas; the manifests were only cross-checked")
    for document in yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")):
        validator.validate(document, "1.34", strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_manifests_fit_the_image_and_the_worker(name: str):
    """User, version, command, ports, probes, volumes and the secret are those of the image and of this release."""
    documents = list(yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")))
    last = documents[-1]["spec"]
    pod = (last["jobTemplate"]["spec"]["template"] if "jobTemplate" in last else last["template"])["spec"]
    (container,) = pod["containers"]
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
    assert container["image"] == f"mailchimp-worker:{__version__}"
    assert container["args"] in (["run"], ["run", "--once"])
    environment = {one["name"]: one.get("value") for one in container["env"]}
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts["data"] == "/data"
    assert environment["WORKER_SECRET_KEY_FILE"] == f"{mounts['secret-key']}/secret-key"
    claims = [one["metadata"]["name"] for one in last.get("volumeClaimTemplates", ())]
    assert {one["name"] for one in pod["volumes"]} | set(claims) == set(mounts)
    assert "--from-literal=secret-key=" in (ROOT / MANIFESTS[0]).read_text(encoding="utf-8")
    if container["args"] == ["run"]:
        assert container["ports"] == [{"name": "http", "containerPort": Config().web.port}]
        assert environment["WORKER_WEB__HOST"] == "0.0.0.0"
        (token,) = (one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one)
        assert token == {"name": "mailchimp-worker", "key": "web-token"}
        assert "--from-literal=web-token=" in (ROOT / name).read_text(encoding="utf-8")
        probes = {one: container[f"{one}Probe"]["httpGet"] for one in ("liveness", "readiness")}
        assert probes == {
            "liveness": {"path": "/healthz", "port": "http"},
            "readiness": {"path": "/readyz", "port": "http"},
        }
        for path in ("/healthz", "/readyz"):
            assert f'"{path}"' in (ROOT / "worker" / "web" / "application.py").read_text(encoding="utf-8")
    else:
        rules = last["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert rules == [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 3]}}]


def test_the_systemd_unit_is_valid(tmp_path: Path):
    """Systemd accepts it, once its command is one that is here; where systemd is missing, it is parsed."""
    text = (ROOT / UNIT).read_text(encoding="utf-8")
    found = re.search(r"^ExecStart=(\S+) run$", text, re.MULTILINE)
    assert found is not None
    assert found[1] in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed; the unit was only parsed")
    unit = tmp_path / Path(UNIT).name
    unit.write_text(text.replace(found[1], sys.executable), encoding="utf-8")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_installs_a_command_and_no_development_tools(tmp_path: Path):
    """Its wheel holds the worker alone, its command, and the runtime dependencies; that is what pipx and uv install."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--disable-pip-version-check", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
        info = f"mailchimp_worker-{__version__}.dist-info"
        assert folders == {"worker", info}
        assert {"worker/web/templates/settings.html", "worker/web/static/style.css"} <= set(archive.namelist())
        metadata = archive.read(f"{info}/METADATA").decode()
        commands_of = archive.read(f"{info}/entry_points.txt").decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "mailchimp-worker = worker.__main__:main" in commands_of
    asked = {re.split(r"[^\w-]", one)[0] for one in re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)}
    assert asked == {re.split(r"[^\w-]", one)[0] for one in project["project"]["dependencies"]}
