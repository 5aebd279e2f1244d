"""Formats times for operators. Does no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from worker.text.plural import counted

MINUTE, HOUR, DAY = 60, 3600, 86400


def span_in_words(span: timedelta) -> str:
    """Returns a time span, rounded: "18 minutes". Ignores the sign."""
    seconds = round(abs(span).total_seconds())
    if seconds < MINUTE:
        return counted(seconds, "second")
    if round(seconds / MINUTE) < 2 * MINUTE:
        return counted(round(seconds / MINUTE), "minute")
    if round(seconds / HOUR) < 48:
        return counted(round(seconds / HOUR), "hour")
    return counted(round(seconds / DAY), "day")


def moment_in_words(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Returns a time with its day: "today at 10:00", "tomorrow at 10:00", "Tue 1 Dec at 10:00"."""
    local, days = moment.astimezone(zone), (moment.astimezone(zone).date() - now.astimezone(zone).date()).days
    day = {-1: "yesterday", 0: "today", 1: "tomorrow"}.get(days, f"{local:%a} {local.day} {local:%b}")
    return f"{day} at {local:%H:%M}"


def in_words(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Returns a time with its distance: "today at 10:00, in 18 minutes", "yesterday at 10:00, 23 hours ago"."""
    span = span_in_words(moment - now)
    return f"{moment_in_words(moment, now, zone)}, {f'in {span}' if moment > now else f'{span} ago'}"
