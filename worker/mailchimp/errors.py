"""What a failed call means to the person who set Mailchimp up, and what to do about it."""

from __future__ import annotations

from worker.errors import ApiKeyRefused, CertificateNotAccepted, MailchimpError, MailchimpUnreachable, WrongDataCentre
from worker.mailchimp.answers import Answer

_LATER = "Nothing was changed. Try again in a few minutes; if it lasts, see Mailchimp's status page."
_FAILURES = {
    "timeout": "Mailchimp did not answer in time",
    "connection": "The connection to Mailchimp broke before its answer was whole",
    "unconnected": "Mailchimp cannot be reached",
    "stopped": "The call to Mailchimp was not made, because the worker is stopping",
    "stale": "The call to Mailchimp was not made, because too much time had passed since the read that it depends on",
}


def error_for(answer: Answer) -> MailchimpError:
    """Returns the error for a call whose answer is not 2xx or not usable.

    Source: Mailchimp's error glossary names 401 API Key Invalid, and 403 with Forbidden, User Disabled or Wrong
    Datacenter; only its data centres' host names resolve.
    """
    if answer.failure == "unknown_host":
        return WrongDataCentre(
            "There is no Mailchimp data centre of the name at the end of the API key: its host is not known.",
            "Compare the end of the key (such as -us21) with the one that Mailchimp shows, and enter the key again. "
            "If it is right, this machine cannot resolve host names.",
        )
    if answer.failure == "certificate":
        return CertificateNotAccepted(
            f"Mailchimp was not called: {answer.reason or 'its certificate is not accepted'}. No API key was sent.",
            "Check this machine's clock. If a proxy opens TLS connections here, set REQUESTS_CA_BUNDLE to a file of CA "
            "certificates that has the proxy's too.",
        )
    if answer.ok or answer.failure in ("garbled", "too_large"):
        return MailchimpError(
            "Mailchimp's answer is larger than any that it documents."
            if answer.failure == "too_large"
            else "Mailchimp's answer cannot be understood.",
            "Nothing was changed. Check mailchimp.base_url (WORKER_MAILCHIMP__BASE_URL) and any proxy in between; try "
            "again.",
        )
    if answer.failure is not None:
        return MailchimpUnreachable(
            f"{_FAILURES[answer.failure]}.",
            _LATER if answer.failure != "unconnected" else f"Check network, proxy and firewall. {_LATER}",
        )
    return _refused(answer)


def _refused(answer: Answer) -> MailchimpError:
    title = answer.title or "no reason given"
    if title.replace(" ", "").lower() == "wrongdatacenter":
        return WrongDataCentre(
            f"The API key belongs to another data centre than the one at its end ({title}).",
            "Copy the whole key from Mailchimp again, its end included, and enter it.",
        )
    if answer.status == 401:
        return ApiKeyRefused(
            f"Mailchimp does not accept the API key ({title}).",
            "See in Mailchimp (Profile, Extras, API keys) whether the key is there and enabled, and whether its end is "
            "the one shown; else make a new one and enter it.",
        )
    if answer.throttled:
        return MailchimpUnreachable(
            "Mailchimp refused the call: too many connections at once.",
            "Nothing was changed. Try again in a minute; other apps may be using the same Mailchimp user.",
        )
    if answer.status == 403:
        return ApiKeyRefused(
            f"Mailchimp does not let this API key's user in ({title}).",
            "Log in to Mailchimp as that user: the account may be disabled, or the user may lack the right. Then enter "
            "the key again, or one of another user.",
        )
    if (answer.status or 0) >= 500:
        return MailchimpUnreachable(f"Mailchimp failed to answer (HTTP {answer.status}: {title}).", _LATER)
    return MailchimpError(
        f"Mailchimp refused what was asked (HTTP {answer.status}: {title}).",
        "Nothing was changed. Check mailchimp.base_url (WORKER_MAILCHIMP__BASE_URL); it must end with /3.0.",
    )
