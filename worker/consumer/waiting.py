"""What a worker waits for before it can flush, in words for the operator."""

from __future__ import annotations

import math

from worker.consumer.group_session import MemberState
from worker.consumer.owned_partitions import OwnedPartitions


def why_waiting(owned_partitions: OwnedPartitions) -> str | None:
    """Returns what a flush must wait for now; None if it may start."""
    if owned_partitions.wait_until_ready(0):
        return None
    if owned_partitions.session.away_since is not None:
        return "Kafka does not answer."
    if (fault := owned_partitions.session.missing_topic) is not None:
        return fault
    if (why := why_no_member(owned_partitions, math.inf)) is not None:
        return why
    if not owned_partitions.owned():
        return "The group has given this worker no partition yet."
    if owned_partitions.waiting_seconds() > 0:
        return "Calls of another worker that had a partition before may still be under way (mailchimp.timeout)."
    if (why := why_changelog_unread(owned_partitions)) is not None:
        return why
    return "Its partitions are not read to their end yet."


def why_no_member(owned_partitions: OwnedPartitions, silent_seconds: float) -> str | None:
    """Returns why a worker is not a live member of the group; None if it is.

    Args:
        silent_seconds: how long Kafka may be silent before the worker no longer counts as a member.
    """
    state, session = owned_partitions.state, owned_partitions.session
    if state is MemberState.FENCED:
        return "The group no longer accepts this worker."
    if state is not MemberState.ASSIGNED and not owned_partitions.owned():
        return session.missing_topic or "The group has not assigned partitions to this worker yet."
    if (silence := session.seconds_since_answer()) >= silent_seconds:
        return f"Kafka has confirmed nothing for {silence:.0f} seconds."
    return None


def why_changelog_unread(owned_partitions: OwnedPartitions) -> str | None:
    """Returns which parts of ledger and settings are not read yet; None if a worker has all that it needs."""
    why, unread = None, owned_partitions.unread_ledgers()
    if not owned_partitions.has_settings:
        why = "The settings are not read from Kafka yet."
    elif unread:
        why = f"The ledger of these partitions is not read yet: {', '.join(map(str, unread))}."
    return why and " ".join([why, *dict.fromkeys(owned_partitions.changelog_faults.copy().values())])
