"""Checks the broker, the topics, and whether publishers partition events as the contract requires."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from worker.changelog.reader import Reader
from worker.changelog.signatures import UNSIGNED, WRONG
from worker.changelog.topics import CheckedTopic, check_topics
from worker.config import Kafka
from worker.errors import KafkaError, LedgerLost, NotMoved, NotSigned
from worker.flush.eligibility import REMEDY
from worker.kafka.admin import POLICY, Admin
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.checks import Finding, Level, ok
from worker.status.misplaced import misplaced, partition_mismatch
from worker.store import dead_letters, ignored, offsets
from worker.store.offsets import TopicSize
from worker.text.plural import counted

NAMED = 5
"""Customers and accounts to name, of those affected."""

_KEY_CHANGED = (
    "If the secret key was changed, set the new one here, with the previous one as WORKER_PREVIOUS_SECRET_KEY, and "
    "restart this worker. Do not use ledger sign then: it would write older records over newer ones. "
    "If the key was not changed: "
)
_IF_DELETED = (
    "What it held is lost, such as who left a list. Write it to Kafka again at a worker that still has it: "
    "mailchimp-worker move-ledger, then mailchimp-worker ledger accept-loss. If it never held anything, start the "
    "worker: it creates it."
)
NUMBERS = "numbers of partitions"


@dataclass(frozen=True, slots=True)
class CheckedTopics:
    """What the broker and the topics are like.

    Attributes:
        partitions: of the events topic and of the ledger topic; None if there is no answer or no such topic.
        absent: topics that do not exist yet, and that the worker creates.
    """

    findings: list[Finding]
    partitions: tuple[int, int] | None = None
    absent: tuple[str, ...] = ()


def checked_topics(kafka: Kafka, *, outcomes: bool, used: bool = False) -> CheckedTopics:
    """Checks the broker and the topics.

    Args:
        used: whether ledger and settings must exist, because this database has read them or has accounts.
    """
    try:
        admin = Admin(kafka)
    except KafkaError as error:
        return CheckedTopics([Finding("Kafka", Level.FAILED, f"{error.message} {error.advice}")])
    findings = [ok("Kafka", f"{kafka.bootstrap_servers} answers")]
    findings.append(ok("topic", f"{kafka.topic} has {counted(admin.partitions, 'partition')}"))
    findings.append(_policy(admin, kafka.topic))
    topics: list[CheckedTopic] = []
    with suppress(KafkaError):  # reported above
        topics += check_topics(kafka, outcomes=outcomes)
    ledger = next((topic.partitions for topic in topics if topic.name == kafka.ledger_topic), 0)
    differs = partition_mismatch(kafka.topic, TopicSize("", admin.partitions, ledger)) if ledger else None
    if differs is not None:
        findings.append(Finding(NUMBERS, Level.FAILED, differs))
    pair = [topic for topic in topics if topic.name in (kafka.ledger_topic, kafka.settings_topic)]
    used = used or any(topic.partitions for topic in pair)
    findings += [_topic(topic, existed=used and topic in pair) for topic in topics]
    absent = tuple(topic.name for topic in topics if not topic.partitions)
    return CheckedTopics(findings, (admin.partitions, ledger) if ledger else None, absent)


def _policy(admin: Admin, topic: str) -> Finding:
    policy, unknown = None, "not available from this broker" if admin.mock else "Kafka does not report it to this user"
    try:
        policy = (admin.config(topic) or {}).get(POLICY)
    except KafkaError as error:
        unknown = error.message
    if policy is None:
        return Finding(POLICY, Level.ATTENTION, f"Not known: {unknown}.", hinders=False)
    if "compact" in policy:
        return ok(POLICY, policy)
    lost = "customers' last events expire, and a new worker would not know them. Set it to compact."
    return Finding(POLICY, Level.FAILED, f"{policy}: {lost}")


def _topic(topic: CheckedTopic, *, existed: bool) -> Finding:
    subject, partitions = f"topic {topic.name}", f"{counted(topic.partitions, 'partition')}, compacted"
    if (fault := topic.wrong or topic.weak) is not None:
        return Finding(subject, Level.FAILED, fault, hinders=topic.wrong is not None)
    if not topic.partitions and existed:
        return Finding(subject, Level.FAILED, "It does not exist any more.", _IF_DELETED)
    if not topic.partitions:
        return Finding(subject, Level.ATTENTION, topic.warning or "", hinders=False)
    if topic.warning is not None:
        return Finding(subject, Level.ATTENTION, f"{partitions}; {topic.warning}", hinders=False)
    return ok(subject, partitions)


def check_changelog(reader: Reader) -> Finding:
    """Checks that ledger and settings are complete in Kafka.

    Raises:
        KafkaError: they cannot be read.
    """
    try:
        reader.read_settings()
        reader.check_topics()
        reader.check_ledger()
    except (LedgerLost, NotMoved, NotSigned) as error:
        return Finding("ledger", Level.FAILED, error.message, error.advice)
    return ok("ledger", "complete, from its beginning")


def check_staging(db: Database, topic: str, partitions: tuple[int, int] | None = None) -> Iterator[Finding]:
    """Checks what the staged records reveal about their publishers, and about ledger and settings.

    Args:
        partitions: of the events topic and of the ledger topic; None for those that a worker last found.
    """
    yield from _partitions(db, topic, partitions)
    if stuck := ignored.stuck(db, NAMED):
        named = ", ".join(
            f"{customer.account_id}/{customer.customer_id} ({customer.address or 'without an address'}: "
            f"version {customer.ignored_version} came after {customer.version})"
            for customer in stuck
        )
        count = counted(ignored.count(db), "customer")
        yield Finding(
            "versions",
            Level.FAILED,
            f"{count} with an older event in use, because a later one has a lower version: {named}.",
            "If the higher version is wrong: mailchimp-worker resync ACCOUNT --email EMAIL --forget-version",
        )
    if refused := dead_letters.count_because(db, UNSIGNED, WRONG):
        yield Finding(
            "signatures",
            Level.FAILED,
            f"Refused {counted(refused, 'record')} of ledger or settings, because they are not signed with the "
            "secret key.",
            (_KEY_CHANGED if dead_letters.count_because(db, WRONG) else "")
            + "Let only the workers write there; see docs/operations.md. Then: mailchimp-worker ledger sign",
        )
    if letters := dead_letters.of_changelog(db):
        numbers = ", ".join(str(letter.number) for letter in letters[:NAMED])
        yield Finding(
            "ledger and settings",
            Level.FAILED,
            f"Cannot apply {counted(len(letters), 'record')} (dead letters {numbers}); their accounts wait.",
            f"See mailchimp-worker dead-letters show {letters[0].number}",
        )


def _partitions(db: Database, topic: str, partitions: tuple[int, int] | None) -> Iterator[Finding]:
    known = offsets.size_of(db, topic)
    if known is None:
        return
    size = known if partitions is None else TopicSize(known.topic_id, *partitions)
    if size.partitions > known.partitions:
        yield Finding(
            "new partitions",
            Level.ATTENTION,
            f"{topic} has {counted(size.partitions, 'partition')}, and this worker has found {known.partitions} so "
            "far.",
            "While it runs, it finds and reads the others within a minute.",
        )

    def was_last_in(account_id: AccountId, partition: int | None) -> bool:
        return offsets.last_partition(db, account_id, topic, size.topic_id) in (None, partition)

    scattered = [
        account_id
        for account_id in sorted(offsets.scattered_accounts(db, topic))
        if not was_last_in(account_id, partition_of(account_id, size.partitions))
    ]
    if scattered:
        named = ", ".join(scattered[:NAMED])
        yield Finding(
            "partitions",
            Level.FAILED,
            f"{counted(len(scattered), 'account')} with events in more than one partition, even recently: {named}.",
            f"Publish them as the event contract says, by {counted(size.partitions, 'partition')}.",
        )
    # One that was misplaced once, and published properly since, is no longer a fault.
    still = [account for account in misplaced(db, topic, size) if not was_last_in(account.account_id, account.ledger)]
    if still:
        named = ", ".join(map(str, still[:NAMED]))
        yield Finding(
            "misplaced accounts",
            Level.FAILED,
            f"{counted(len(still), 'account')} with events and ledger in different partitions: {named}.",
            REMEDY,
        )
