"""What operators may choose, and the error when it is wrong."""

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from worker.config import LONGEST_TIMEOUT, Config, load
from worker.errors import ConfigError
from worker.mailchimp.calls import ANSWER_WITHIN

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable of this machine and no file counts."""
    for name in list(os.environ):
        if name.startswith("WORKER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_file_and_variables_the_defaults_hold():
    """An empty environment gives the documented defaults."""
    config = load()
    assert config == Config()
    assert (config.flush.at, config.flush.timezone, config.mailchimp.connections) == ("10:00", "Europe/London", 8)


def test_the_file_of_defaults_says_what_the_code_does(monkeypatch, tmp_path):
    """Every commented value in config/worker.toml is the default, and every setting is in it."""
    text = (ROOT / "config" / "worker.toml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    file = tmp_path / "worker.toml"
    file.write_text(uncommented, encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(file))
    assert load() == Config()
    told = tomllib.loads(uncommented)
    for section, field in Config.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            assert told[section].keys() == field.annotation.model_fields.keys(), section


def test_the_docs_tell_every_setting_with_its_variable_and_default():
    """The table in docs/operations.md is what the code does."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = {}
    for names, variables, defaults in re.findall(r"^\| ([a-z_., ]+) \| ([^|]+) \|([^|]*)\|", text, re.MULTILINE):
        for name, variable, default in zip(names.split(", "), variables.split(", "), defaults.split(", "), strict=True):
            told[name] = variable.strip("`"), default.strip()
    real = {
        f"{section}.{name}": (
            f"WORKER_{section}__{name}".upper(),
            ""
            if value == {}
            else f"{value:g}"
            if isinstance(value, float)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value),
        )
        for section, settings in Config()
        if hasattr(settings, "model_fields_set")
        for name, value in settings
    }
    assert told == real


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    """A variable overrides its value in the file, and leaves the others."""
    file = tmp_path / "mine.toml"
    file.write_text('[kafka]\ntopic = "one"\ngroup_id = "mine"\n[flush]\nat = "07:30"\n')
    monkeypatch.setenv("WORKER_CONFIG", str(file))
    monkeypatch.setenv("WORKER_KAFKA__TOPIC", "two")
    monkeypatch.setenv("WORKER_KAFKA__CLIENT", '{"security.protocol": "ssl"}')
    config = load()
    assert (config.kafka.topic, config.kafka.group_id, config.flush.at) == ("two", "mine", "07:30")
    assert config.kafka.client == {"security.protocol": "ssl"}


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("WORKER_FLUSH__AT", "25:00", "flush.at = '25:00': must be a time of day as HH:MM"),
        ("WORKER_FLUSH__TIMEZONE", "Europe/Leeds", "flush.timezone = 'Europe/Leeds': must be a time zone"),
        ("WORKER_MAILCHIMP__CONNECTIONS", "11", "mailchimp.connections = '11': must be less than or equal to 10"),
        ("WORKER_MAILCHIMP__TIMEOUT", "soon", "mailchimp.timeout = 'soon': must be a valid number"),
        ("WORKER_MAILCHIMP__BASE_URL", "ftp://x", "mailchimp.base_url = 'ftp://x': must start with https://"),
        ("WORKER_MAILCHIMP__BASE_URL", "http://10.0.0.1/3.0", "must start with https://, because API keys and"),
        ("WORKER_MAILCHIMP__BASE_URL", "http://localhost.x.com/3.0", "set mailchimp.allow_plain_http if nobody can"),
        ("WORKER_MAILCHIMP__BASE_URL", "https://", "mailchimp.base_url = 'https://': must be a host and a path"),
        ("WORKER_MAILCHIMP__BASE_URL", "https://{x}.y/3.0", "must be a host and a path, such as https://{dc}."),
        ("WORKER_MAILCHIMP__BASE_URL", "https://me@y/3.0", "must be a host and a path"),
        ("WORKER_FLUSH__TIMEZONE", "Europe", "flush.timezone = 'Europe': must be a time zone"),
        ("WORKER_FLUSH__TIMEZONE", "../Europe/London", "must be a time zone"),
        ("WORKER_STAGING__PATH", "", "must name a file (WORKER_STAGING__PATH)"),
        ("WORKER_SECRET_KEY_FILE", "", "must name a file (WORKER_SECRET_KEY_FILE)"),
        ("WORKER_KAFKA__CLIENT", "{", "kafka.client: must be a table, and in the environment a JSON object"),
        ("WORKER_KAFKA__CLIENT", "[1]", "(WORKER_KAFKA__CLIENT)"),
        ("WORKER_KAFKA__CLIENT", '{"group": {"id": "x"}}', "kafka.client: group.id is set as kafka.group_id"),
        ("WORKER_KAFKA__CLIENT", '{"debug": null}', "kafka.client: debug must be a text, a number, true or false"),
        ("WORKER_KAFKA__TOPIC", "a b", "kafka.topic = 'a b'"),
        ("WORKER_LOG__LEVEL", "loud", "log.level = 'loud': must be 'debug', 'info', 'warning' or 'error'"),
        ("WORKER_FLUSH__WHEN", "10:00", "WORKER_FLUSH__WHEN: there is no such setting"),
        ("WORKER_COLOUR", "red", "WORKER_COLOUR: there is no such setting"),
        ("WORKER_KAFKA", "x", "WORKER_KAFKA: there is no such setting"),
        ("WORKER_KAFKA_TOPIC", "x", "(in the environment); did you mean WORKER_KAFKA__TOPIC?"),
        ("WORKER_KAFKA__TOPICS", "x", "(in the environment); did you mean WORKER_KAFKA__TOPIC?"),
        ("WORKER_CONFG", "x", "(in the environment); did you mean WORKER_CONFIG?"),
    ],
)
def test_a_wrong_variable_stops_the_start_with_its_name_and_what_is_allowed(monkeypatch, variable, value, told):
    """Each wrong or unknown variable is named with its value and what it may be."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert told in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("service", ["WORKER", "WORKER_WEB", "WORKER_KAFKA", "WORKER_A_B"])
def test_variables_that_kubernetes_sets_for_a_service_named_worker_are_ignored(monkeypatch, service):
    """A Service named "worker", or "worker-web", in the same namespace does not stop the start."""
    for name, value in {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "8080",
        "SERVICE_PORT_HTTP": "8080",
        "PORT": "tcp://10.0.0.1:8080",
        "PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "PORT_8080_TCP_PROTO": "tcp",
        "PORT_8080_TCP_PORT": "8080",
        "PORT_8080_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load() == Config()


@pytest.mark.parametrize("variable", ["WORKER_PORT", "WORKER_WEB_PORT"])
def test_a_port_that_was_meant_for_the_worker_is_not_taken_for_kubernetes(monkeypatch, variable):
    """Kubernetes' have an address; a number is a setting with a line too few, which is an error."""
    monkeypatch.setenv(variable, "9090")
    with pytest.raises(ConfigError, match=f"{variable}: there is no such setting"):
        load()


def test_everything_that_is_wrong_is_reported_at_once(monkeypatch, tmp_path):
    """Wrong values of file and environment come in one message, each with its place."""
    file = tmp_path / "worker.toml"
    file.write_text('log = 1\nsecret_key = "s"\n[flush]\nat = "noon"\nwhen = 1\ntimezone = 10:00:00\n[colours]\n')
    monkeypatch.setenv("WORKER_CONFIG", str(file))
    monkeypatch.setenv("WORKER_LOG__FORMAT", "xml")
    monkeypatch.setenv("WORKER_KAFKA__CLIENT", "none")
    monkeypatch.setenv("WORKER_COLOUR", "red")
    with pytest.raises(ConfigError) as caught:
        load()
    told = [line.strip() for line in caught.value.message.splitlines()]
    assert told[0] == "The configuration is wrong:"
    assert set(told[1:]) == {
        f"log = 1: must be a table, [log] (in {file})",
        f"secret_key: is set by its variable WORKER_SECRET_KEY only (in {file})",
        f"flush.at = 'noon': must be a time of day as HH:MM, 00:00 to 23:59 (in {file})",
        f"flush.timezone = 10:00:00: must be a valid string (in {file})",
        f"flush.when: there is no such setting (in {file})",
        f"colours: there is no such setting (in {file})",
        "log.format = 'xml': must be 'console' or 'json' (WORKER_LOG__FORMAT)",
        "kafka.client: must be a table, and in the environment a JSON object such as "
        '{"security.protocol": "ssl"} (WORKER_KAFKA__CLIENT)',
        "WORKER_COLOUR: there is no such setting (in the environment)",
    }


def test_a_file_that_is_missing_or_no_toml_is_reported(monkeypatch, tmp_path):
    """A named file must be there and be TOML."""
    monkeypatch.setenv("WORKER_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load()
    broken = tmp_path / "broken.toml"
    broken.write_text("[flush\n")
    monkeypatch.setenv("WORKER_CONFIG", str(broken))
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load()


@pytest.mark.parametrize("named", [".", "/", "/dev/null", "/dev/zero"])
def test_a_folder_or_a_device_is_no_configuration_file(monkeypatch, named):
    """Docker makes a folder where a mounted file is missing; a device may never end."""
    monkeypatch.setenv("WORKER_CONFIG", named)
    with pytest.raises(ConfigError, match="cannot be read: It is not a file") as raised:
        load()
    assert raised.value.exit_code == 2


def test_a_folder_in_place_of_the_default_file_is_not_ignored(tmp_path):
    """Its settings would be missing without a word."""
    (tmp_path / "config" / "worker.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="It is not a file"):
        load()


@pytest.mark.parametrize("named", [".", "/dev/null", "/dev/zero"])
def test_a_folder_or_a_device_holds_no_secret_key(monkeypatch, tmp_path, named):
    """It is reported before anything is read from it, also where there is no database yet."""
    monkeypatch.setenv("WORKER_SECRET_KEY_FILE", str(tmp_path) if named == "." else named)
    with pytest.raises(
        ConfigError, match=r"secret_key_file = .*: must name a file, not a folder or a device"
    ) as raised:
        load()
    assert "(WORKER_SECRET_KEY_FILE)" in raised.value.message


def test_a_secret_key_may_come_from_a_pipe(monkeypatch):
    """As from a shell's <(...)."""
    reading, writing = os.pipe()
    monkeypatch.setenv("WORKER_SECRET_KEY_FILE", f"/dev/fd/{reading}")
    try:
        assert load().secret_key_file == Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
        os.close(writing)


def test_properties_of_librdkafka_may_be_written_with_dots_or_quoted(monkeypatch, tmp_path):
    """A dotted name in TOML is the same property as a quoted one; texts, numbers and booleans stay what they are."""
    file = tmp_path / "worker.toml"
    file.write_text(
        '[kafka.client]\nsecurity.protocol = "ssl"\nssl.ca.location = "ca.pem"\n"session.timeout.ms" = 6000\n'
        "enable.ssl.certificate.verification = true\n"
    )
    monkeypatch.setenv("WORKER_CONFIG", str(file))
    assert load().kafka.client == {
        "security.protocol": "ssl",
        "ssl.ca.location": "ca.pem",
        "session.timeout.ms": 6000,
        "enable.ssl.certificate.verification": True,
    }


def test_secrets_are_never_shown(monkeypatch):
    """Printing the config hides the secret key and librdkafka's passwords, and so do messages of what is wrong."""
    monkeypatch.setenv("WORKER_SECRET_KEY", "abcdefghijklmnop")
    monkeypatch.setenv("WORKER_KAFKA__CLIENT", '{"sasl.password": "opensesame"}')
    shown = repr(load())
    assert "abcdefghijklmnop" not in shown
    assert "opensesame" not in shown
    for wrong in ('{"sasl.password": ["opensesame"]}', '{"sasl.password": "opensesame"'):
        monkeypatch.setenv("WORKER_KAFKA__CLIENT", wrong)
        with pytest.raises(ConfigError) as caught:
            load()
        assert "opensesame" not in caught.value.message
        assert "WORKER_KAFKA__CLIENT" in caught.value.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090/3.0", "http://[::1]:8090/3.0", "http://localhost/3.0"])
def test_plain_http_is_for_this_machine_unless_the_operator_says_otherwise(monkeypatch, url):
    """A stand-in on the same machine needs no certificate; one in another container is the operator's decision."""
    monkeypatch.setenv("WORKER_MAILCHIMP__BASE_URL", url)
    assert load().mailchimp.base_url == url
    monkeypatch.setenv("WORKER_MAILCHIMP__BASE_URL", "http://sandbox:8090/3.0")
    monkeypatch.setenv("WORKER_MAILCHIMP__ALLOW_PLAIN_HTTP", "true")
    assert load().mailchimp.base_url == "http://sandbox:8090/3.0"


def test_no_answer_comes_after_its_call_was_given_up() -> None:
    """A write that was not answered is looked for within a time that the longest allowed answer does not exceed."""
    assert timedelta(seconds=LONGEST_TIMEOUT) < ANSWER_WITHIN
