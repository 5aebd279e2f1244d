"""The topics of ledger, settings and outcomes: checked, and created if the broker allows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.admin import MIN_INSYNC, MOST_LAG, POLICY, SEGMENT, Admin, TopicLayout
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.text.plural import counted

ERASED_WITHIN_MS = 24 * 60 * 60 * 1000
"""Within a day Kafka removes what a newer record or a null replaced. Only closed segments are compacted, so segments
are closed as often. Source: KIP-354."""
Role = Literal["ledger", "settings"]
_BOUNDED = {MOST_LAG: str(ERASED_WITHIN_MS), SEGMENT: str(ERASED_WITHIN_MS)}


@dataclass(frozen=True, slots=True)
class ChangelogTopic:
    """One of the topics.

    Attributes:
        topic_id: Kafka's id of it; "" if the broker does not report it.
    """

    name: str
    topic_id: str
    partitions: int

    def partition_of(self, account_id: AccountId | str) -> int:
        """Returns the partition of an account's records: in the ledger, that of its events, by the contract."""
        return partition_of(account_id, self.partitions)


@dataclass(frozen=True, slots=True)
class ChangelogTopics:
    """All of them.

    Attributes:
        outcomes: has as many partitions as the ledger; None if no outcomes are published.
    """

    ledger: ChangelogTopic
    settings: ChangelogTopic
    outcomes: ChangelogTopic | None = None

    def partitions(self) -> Iterator[tuple[ChangelogTopic, int]]:
        """Yields each partition of the settings, then of the ledger."""
        for topic in (self.settings, self.ledger):
            for partition in range(topic.partitions):
                yield topic, partition

    def named(self, name: str) -> ChangelogTopic:
        """Returns the ledger topic if it has this name, else the settings topic."""
        return self.ledger if name == self.ledger.name else self.settings

    def role_of(self, topic: ChangelogTopic) -> Role:
        """Returns which of the two a topic is, as its signatures say."""
        return "ledger" if topic == self.ledger else "settings"


@dataclass(frozen=True, slots=True)
class CheckedTopic:
    """The result of checking a topic.

    Attributes:
        partitions: 0 if the topic does not exist.
        wrong: an error that keeps any worker from starting, with advice; None if there is none.
        weak: how the topic could be lost, with advice; None if it has enough replicas.
        warning: what an operator should know; None for nothing.
    """

    name: str
    partitions: int
    wrong: str | None
    weak: str | None = None
    warning: str | None = None


def topics(kafka: Kafka, *, outcomes: bool = False) -> ChangelogTopics:
    """Returns the topics, created if they did not exist.

    Raises:
        ConfigError: the operator's properties cannot be used.
        KafkaError: no broker answers, a topic cannot be created, or its config is unfit for the ledger.
    """
    admin = Admin(kafka)
    for name, partitions in ((kafka.ledger_topic, admin.partitions), (kafka.settings_topic, 1)):
        _create(admin, name, partitions)
    if outcomes and (ledger_layout := admin.layout(kafka.ledger_topic)) is not None:
        _create(admin, kafka.outcomes_topic, ledger_layout.partitions)
    checked = list(_check(admin, kafka, outcomes=outcomes))
    contents = {kafka.ledger_topic: "the ledger", kafka.settings_topic: "the settings"}
    for topic in checked:
        if topic.wrong is not None or not topic.partitions:
            raise KafkaError(
                f"Topic {topic.name} is not set up to hold {contents.get(topic.name, 'outcomes')}.",
                topic.wrong or "Kafka created it and does not show it yet. Try again.",
            )
    return ChangelogTopics(*(ChangelogTopic(topic.name, _id(admin, topic.name), topic.partitions) for topic in checked))


def check_topics(kafka: Kafka, *, outcomes: bool) -> Iterator[CheckedTopic]:
    """Checks the topics and creates none.

    Raises:
        ConfigError: the operator's properties cannot be used.
        KafkaError: no broker answers, or the topic of events does not exist.
    """
    yield from _check(Admin(kafka), kafka, outcomes=outcomes)


def _check_outcomes(admin: Admin, kafka: Kafka) -> CheckedTopic:
    name, ledger = kafka.outcomes_topic, admin.layout(kafka.ledger_topic)
    layout, partitions = admin.layout(name), ledger.partitions if ledger is not None else admin.partitions
    off = "Or publish no outcomes: outcomes.enabled = false."
    if layout is None:
        absent = _absent(admin, name, partitions)
        return absent if absent.wrong is None else replace(absent, wrong=f"{absent.wrong}. {off}")
    if layout.partitions != partitions:
        wrong = (
            f"It has {counted(layout.partitions, 'partition')}, and {kafka.ledger_topic} has {partitions}. Both "
            f"must have the same number, so that an account's are written together. {off}"
        )
        return CheckedTopic(name, layout.partitions, wrong)
    return _check_config(admin, name, layout)


def _check(admin: Admin, kafka: Kafka, *, outcomes: bool) -> Iterator[CheckedTopic]:
    for name, most in ((kafka.ledger_topic, admin.partitions), (kafka.settings_topic, None)):
        layout = admin.layout(name)
        if layout is None:
            yield _absent(admin, name, most or 1)
        elif most is not None and layout.partitions > most:
            wrong = (
                f"It has {counted(layout.partitions, 'partition')}, and {kafka.topic} has {most}: no worker would read "
                f"the others. Give {kafka.topic} as many."
            )
            yield CheckedTopic(name, layout.partitions, wrong)
        else:
            yield _check_config(admin, name, layout)
    if outcomes:
        yield _check_outcomes(admin, kafka)


def _absent(admin: Admin, name: str, partitions: int) -> CheckedTopic:
    why_not = admin.why_not_created(new_topic(name, partitions, admin.brokers()))
    if why_not is None:
        return CheckedTopic(name, 0, None, warning="It does not exist yet. The worker creates it when it starts.")
    wrong = f"It does not exist, and Kafka does not let the worker create it: {why_not.rstrip('.')}."
    return CheckedTopic(name, 0, f"{wrong} {_advice(admin, name, partitions)}")


def _check_config(admin: Admin, name: str, layout: TopicLayout) -> CheckedTopic:
    if admin.mock:
        return CheckedTopic(name, layout.partitions, None)
    config = None
    with suppress(KafkaError):
        config = admin.config(name)
    if config is None or not {POLICY, MIN_INSYNC} <= config.keys():
        return CheckedTopic(name, layout.partitions, None, warning="Kafka does not report its config to this user")
    weak, warning = durability_of(name, layout.brokers, layout.replicas, int(config[MIN_INSYNC]))
    warning = "; ".join(filter(None, (warning, unbounded(name, config)))) or None
    return CheckedTopic(name, layout.partitions, _wrong_policy(name, config[POLICY]), weak, warning)


def unbounded(name: str, config: Mapping[str, str]) -> str | None:
    """Returns a warning if a topic may keep erased data for longer than a day, with advice; else None.

    Args:
        config: values that the broker does not report count as right.
    """
    late = [setting for setting in _BOUNDED if int(config.get(setting, 0)) > ERASED_WITHIN_MS]
    if MOST_LAG not in late:  # whichever of the two comes first closes a segment
        return None
    settings = ",".join(f"{setting}={value}" for setting, value in _BOUNDED.items())
    return (
        "erased persons stay in it until Kafka happens to compact it. Limit that to a day: kafka-configs.sh "
        f"--bootstrap-server BROKER --alter --topic {name} --add-config {settings}"
    )


def durability_of(name: str, brokers: int, replicas: int, min_insync: int) -> tuple[str | None, str | None]:
    """Returns how a topic could be lost, and what an operator should know; each None for nothing.

    Args:
        replicas: copies of a partition, the fewest of any.
    """
    if brokers == 1:
        return None, "one broker has the only copy: good for trying out, not for production"
    if replicas < 2:
        return (
            f"It has one copy, on one of {brokers} brokers: if its disk fails, the worker no longer "
            f"knows who left a list. Give it three: kafka-reassign-partitions.sh, and min.insync.replicas=2.",
            None,
        )
    if min_insync < 2:
        return (
            "Its min.insync.replicas is 1, so a record that only one broker has counts as written, and may be lost. "
            f"Set it: kafka-configs.sh --bootstrap-server BROKER --alter --topic {name} --add-config "
            "min.insync.replicas=2",
            None,
        )
    if replicas <= min_insync:
        return None, f"nothing can be written while one of its {replicas} brokers is down: add a copy"
    return None, None


def new_topic(name: str, partitions: int, brokers: int) -> NewTopic:
    """Returns a durable topic, replicated on up to three brokers."""
    replicas = min(brokers, 3) if brokers > 1 else -1
    return NewTopic(name, partitions, replication_factor=replicas, config=_config(brokers))


def _config(brokers: int) -> dict[str, str]:
    return {POLICY: "compact"} | _BOUNDED | ({MIN_INSYNC: "2"} if brokers > 1 else {})


def _wrong_policy(name: str, policy: str) -> str | None:
    if policy == "compact":
        return None
    return (
        f"Its cleanup.policy is {policy}, so Kafka would forget what it must hold. Set it: kafka-configs.sh "
        f"--bootstrap-server BROKER --alter --topic {name} --add-config cleanup.policy=compact"
    )


def _create(admin: Admin, name: str, partitions: int) -> None:
    if admin.layout(name) is None:
        admin.create(new_topic(name, partitions, admin.brokers()), _advice(admin, name, partitions))


def _advice(admin: Admin, name: str, partitions: int) -> str:
    brokers = admin.brokers()
    config = " ".join(f"--config {setting}={value}" for setting, value in _config(brokers).items())
    return (
        f"Create it: kafka-topics.sh --bootstrap-server {admin.bootstrap_servers} --create --topic {name} "
        f"--partitions {partitions} --replication-factor {min(brokers, 3)} {config}"
    )


def _id(admin: Admin, name: str) -> str:
    with suppress(KafkaError):
        return admin.topic_id(name)
    return ""
