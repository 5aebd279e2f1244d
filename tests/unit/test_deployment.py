"""The image and the composition, as far as they can be read without an engine."""

import json
import re
from pathlib import Path

import yaml

from worker.config import Config

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_the_image_runs_as_a_user_without_rights():
    """The last stage runs as a numbered user, keeps its data on a volume and ends on SIGTERM."""
    last = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "VOLUME /data" in last
    assert "STOPSIGNAL SIGTERM" in last


def test_the_images_health_is_a_command_that_there_is():
    """The health check asks the worker's own command."""
    command = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", DOCKERFILE)[1])  # type: ignore[index]
    assert command == ["mailchimp-worker", "status", "--alive"]


def test_dependencies_are_installed_by_hash():
    """What goes into the image is named by the lock file."""
    assert "--require-hashes --requirement requirements.lock" in DOCKERFILE


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
        assert image == "mailchimp-worker" or ":" in image, name
    assert COMPOSE["services"]["sandbox"]["profiles"] == ["sandbox"]


def test_the_topic_is_compacted():
    """Customers' last events never expire."""
    assert "--config=cleanup.policy=compact" in COMPOSE["services"]["topic"]["entrypoint"]


def test_lock_files_name_hashes_and_no_addresses():
    """Every locked version has hashes, and no registry's address is among them."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
