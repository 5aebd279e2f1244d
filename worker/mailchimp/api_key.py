"""A Mailchimp API key: which host it belongs to, and how to keep it out of sight."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from worker.errors import ApiKeyMalformed

LONGEST = 256
"""Characters; Mailchimp's keys have fewer than 40."""

HINT = 4
SHORTEST_HINTED = 16
"""Characters before the dash that a key needs before four of them may be shown; Mailchimp's keys have 32."""

_VISIBLE = re.compile(r"[!-~]+")
# A label of a host name holds 63 characters. Letters and digits only: a dot, slash or @ here would choose the host.
_DATA_CENTRE = re.compile(r"[A-Za-z0-9]{1,63}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed API key. Made by :func:`parse`; printing it never shows the key.

    Attributes:
        data_centre: the first label of the host that this key's calls go to.
    """

    _text: str = field(repr=False)
    data_centre: str

    @property
    def hint(self) -> str:
        """The last four characters of the secret, and the data centre: all that commands show. Less of a short key."""
        secret = self._text.rpartition("-")[0]
        shown = secret[-HINT:] if len(secret) >= SHORTEST_HINTED else ""
        return f"{shown}-{self.data_centre}"

    def reveal(self) -> str:
        """Returns the key itself, to send or to encrypt it; never print it."""
        return self._text

    def __repr__(self) -> str:
        """Returns the hint."""
        return f"ApiKey(…{self.hint})"

    __str__ = __repr__


def parse(text: str) -> ApiKey:
    """Returns the API key that a person entered, stripped of surrounding space.

    Raises:
        ApiKeyMalformed: the text cannot be an API key. The message does not repeat it.

    Source: Mailchimp's API keys end with a dash and the data centre, the first label of the API's host name.
    """
    key = text.strip()
    secret, dash, data_centre = key.rpartition("-")
    if not key:
        problem = "No API key was given"
    elif len(key) > LONGEST:
        problem = f"The API key has over {LONGEST} characters"
    elif not _VISIBLE.fullmatch(key):
        problem = "The API key has a space or a character that no API key has"
    elif not dash or not secret:
        problem = "The API key does not end with a dash and its data centre"
    elif not _DATA_CENTRE.fullmatch(data_centre):
        problem = "What follows the last dash of the API key is no data centre: it has letters and digits only"
    else:
        return ApiKey(key, data_centre.lower())
    raise ApiKeyMalformed(
        f"{problem}. Nothing was sent anywhere.",
        "Copy the whole key from Mailchimp (Profile, Extras, API keys); it ends like -us21.",
    )
