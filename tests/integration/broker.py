"""A real Kafka for tests: the first that there is of the environment's, a container, and Apache Kafka as a process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from docker.errors import DockerException  # type: ignore[import-untyped]
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

FOLDER = "MAILCHIMP_WORKER_TESTS_FOLDER"
"""The environment variable that names the folder which the processes share that run tests."""
HERE = Path(__file__).parent
POM = HERE / "kafka" / "pom.xml"
JARS = HERE.parents[1] / "build" / "kafka-jars"
START_SECONDS = 60.0
PASSWORD = "right"
"""Of each user, on the listener that asks for one."""
USERS = ("worker", "publisher", "reader")
RIGHTS = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""
"""Properties with which a user who gave a password may do nothing but what an ACL says."""
COMMON_PROPERTIES = """\
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=300
group.consumer.heartbeat.interval.ms=300
log.cleaner.threads=1
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=2097152
"""
"""Properties of every broker: one node, short waits, little memory."""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller},\
    BEHIND://127.0.0.1:{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},BEHIND://127.0.0.1:{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,BEHIND:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
    {users};
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
"""

IMAGE = "apache/kafka:4.1.0"
CONTAINER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://:9094
advertised.listeners=PLAINTEXT://{host}:{port},BROKER://localhost:9094
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
"""


@dataclass(frozen=True)
class Broker:
    """A broker that answers.

    Attributes:
        kind: what it is, for the report.
        whole: whether it answers admin requests, as the mock does not.
        behind: a port of it which tells clients to come to the second one, where a proxy may listen; None without.
    """

    bootstrap_servers: str
    kind: str
    whole: bool = True
    behind: tuple[int, int] | None = None


class KafkaProcess:
    """Apache Kafka as a Java process of its own, that a test may stop, kill and start again."""

    def __init__(self, folder: Path, properties: str = "") -> None:
        self.port, self.sasl_port, controller, *behind = _free_ports(5)
        self.behind = behind[0], behind[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "server.properties"
        self._config.write_text(
            _PROPERTIES.format(
                port=self.port,
                sasl=self.sasl_port,
                controller=controller,
                behind=self.behind[0],
                proxy=self.behind[1],
                data=folder / "data",
                users=" ".join(f'user_{one}="{PASSWORD}"' for one in USERS),
            )
            + COMMON_PROPERTIES
            + properties
        )
        self._format(folder / "data")

    @property
    def bootstrap_servers(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        process = self._process = self._java("kafka.Kafka", str(self._config))
        log = self._folder / "kafka.log"
        _wait_for(self.bootstrap_servers, lambda: process.poll() is not None, log.read_text)

    def stop(self) -> None:
        """Ends it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops it from answering: connections are still accepted, by the machine, and nothing comes back."""
        assert self._process is not None, "it runs"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on as if nothing had happened."""
        assert self._process is not None, "it runs"
        self._process.send_signal(signal.SIGCONT)

    def _format(self, data: Path) -> None:
        # By a Java process of its own, which takes two seconds: once in these tests, whichever ports a broker has.
        formatted = Path(os.environ[FOLDER]) / "formatted" if FOLDER in os.environ else None
        if formatted is not None and formatted.is_dir():
            shutil.copytree(formatted, data)
            return
        arguments = ("format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(self._config))
        self._java("kafka.tools.StorageTool", *arguments).wait(60)
        if formatted is not None:
            copy = Path(tempfile.mkdtemp(dir=formatted.parent)) / "data"
            shutil.copytree(data, copy)
            with suppress(OSError):  # another process was first
                copy.rename(formatted)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)  # should it be frozen
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def _java(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        java = shutil.which("java") or "java"
        options = ("-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                [java, *options, "-cp", f"{JARS}/*", name, *arguments], stdout=log, stderr=log, cwd=self._folder
            )


def can_run_kafka() -> str | None:
    """Returns why Kafka cannot be run as a process here, or None where it can; fetches its jars once."""
    if shutil.which("java") is None:
        return "there is no java"
    if JARS.is_dir() and any(JARS.iterdir()):
        return None
    maven = shutil.which("mvn")
    if maven is None:
        return "there is no mvn to fetch Kafka with"
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}/jars"],
            capture_output=True,
            text=True,
            timeout=600,
        )
        if fetched.returncode:
            return f"Maven could not fetch it: {fetched.stdout[-300:]}"
        JARS.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(f"{folder}/jars", JARS, dirs_exist_ok=True)
    return None


@contextmanager
def kafka_process(folder: Path, properties: str = "") -> Iterator[KafkaProcess]:
    """Runs Kafka in a folder, for as long as the context lasts.

    Args:
        properties: lines that are added to its configuration.
    """
    process = KafkaProcess(folder, properties)
    process.start()
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def kafka_container() -> Iterator[Broker]:
    """Runs Kafka in a container, for as long as the context lasts.

    Raises:
        DockerException: the image cannot be pulled, or the container cannot be started.
        TimeoutError: Kafka does not answer in it.
    """
    container = DockerContainer(IMAGE)
    host, port = container.get_docker_client().host(), _free_ports(1)[0]
    properties = CONTAINER_PROPERTIES.format(host=host, port=port) + COMMON_PROPERTIES
    for line in properties.splitlines():
        name, _, value = line.partition("=")
        container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    with container.with_env("KAFKA_HEAP_OPTS", "-Xmx384m").with_bind_ports(9092, port):
        _wait_for(f"{host}:{port}", lambda: False, lambda: str(container.get_logs()))
        yield Broker(f"{host}:{port}", "Kafka in a container")


@contextmanager
def any_broker(folder: Path) -> Iterator[Broker]:
    """Gives the best broker that there is here."""
    with ExitStack() as stack:
        yield _best_broker(folder, stack)


def _best_broker(folder: Path, stack: ExitStack) -> Broker:
    if named := os.environ.get("KAFKA_BOOTSTRAP"):
        return Broker(named, "the one that KAFKA_BOOTSTRAP names")
    why = ""
    if _docker_answers():
        try:
            return stack.enter_context(kafka_container())
        except (DockerException, RequestException, TimeoutError) as error:
            why = f"; no container, because {error}"
    problem = can_run_kafka()
    if problem is None:
        process = stack.enter_context(kafka_process(folder))
        kind = f"Apache Kafka as a process, its jars from Maven{why}"
        return Broker(process.bootstrap_servers, kind, behind=process.behind)
    mock = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    stack.callback(mock.flush)
    broker = next(iter(mock.list_topics(timeout=10).brokers.values()))
    kind = f"librdkafka's MOCK ({problem}{why}): topics recreated, truncated logs and admin requests were NOT tested"
    return Broker(f"{broker.host}:{broker.port}", kind, whole=False)


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    return docker is not None and not subprocess.run([docker, "info"], capture_output=True).returncode


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(bootstrap_servers: str, ended: Callable[[], bool], log: Callable[[], str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 200})
    waited, pause = 0.0, threading.Event()
    while waited < START_SECONDS:
        if ended():
            raise RuntimeError(f"Kafka ended: {log()[-2000:]}")
        try:
            admin.list_topics(timeout=1)
        except KafkaException:
            pause.wait(0.1)
            waited += 1.1
        else:
            return
    raise TimeoutError(f"Kafka did not answer: {log()[-2000:]}")
