"""The image and the composition, as far as they can be read without an engine."""

import json
import re
from pathlib import Path

import yaml
from typer.main import get_command

from worker.cli.app import commands
from worker.config import Config

ROOT = Path(__file__).parents[2]
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
    text = DOCKERFILE + (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for variable in set(re.findall(r"\bWORKER_[A-Z_]+\b", text)):
        section, _, name = variable.removeprefix("WORKER_").lower().partition("__")
        field = Config.model_fields[section]
        assert not name or name in field.annotation.model_fields, variable  # type: ignore[union-attr]


def test_the_worker_of_the_composition_can_write_to_its_volume_only():
    """It has a read-only file system, no capabilities, no new privileges, and its secret in a file."""
    worker = COMPOSE["services"]["worker"]
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert worker["security_opt"] == ["no-new-privileges:true"]
    assert worker["volumes"] == ["worker:/data"]
    assert worker["environment"]["WORKER_SECRET_KEY_FILE"] == "/run/secrets/worker_secret_key"


def test_images_are_pinned_and_the_stand_in_is_a_profile():
    """Images have a version; the stand-in starts only when it is asked for."""
    for name, service in COMPOSE["services"].items():
        image = service["image"]
        assert image == "mailchimp-worker" or re.search(r":\d+\.\d+\.\d+$", image), name
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.13-slim"}
    assert COMPOSE["services"]["sandbox"]["profiles"] == ["sandbox"]


def test_the_topic_is_compacted():
    """Customers' last events never expire."""
    assert "--config=cleanup.policy=compact" in COMPOSE["services"]["topic"]["entrypoint"]


def test_lock_files_name_hashes_and_no_addresses():
    """Every locked version has hashes, and no registry's address is among them."""
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
