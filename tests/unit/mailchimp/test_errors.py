from typing import get_args

import pytest

from worker.errors import ApiKeyRefused, CertificateNotAccepted, MailchimpError, MailchimpUnreachable, WrongDataCentre
from worker.mailchimp.answers import Answer, Failure
from worker.mailchimp.errors import error_for


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(401, {"title": "API Key Invalid"}), ApiKeyRefused),
        (Answer(401), ApiKeyRefused),
        (Answer(403, {"title": "Forbidden"}), ApiKeyRefused),
        (Answer(403, {"title": "User Disabled"}), ApiKeyRefused),
        (Answer(403, {}), ApiKeyRefused),
        (Answer(403, {"title": "Wrong Datacenter"}), WrongDataCentre),
        (Answer(403, {"title": "WrongDatacenter"}), WrongDataCentre),
        (Answer(403), MailchimpUnreachable),
        (Answer(429), MailchimpUnreachable),
        (Answer(500, {"title": "Internal Server Error"}), MailchimpUnreachable),
        (Answer(503), MailchimpUnreachable),
        (Answer(301), MailchimpError),
        (Answer(400, {"title": "Bad Request"}), MailchimpError),
        (Answer(404, {"title": "Resource Not Found"}), MailchimpError),
        (Answer(404, {"title": {"odd": 1}}), MailchimpError),
        (Answer(None, failure="unknown_host"), WrongDataCentre),
        (Answer(200), MailchimpError),
        (Answer(None, failure="garbled"), MailchimpError),
        (Answer(None, {"lists": 5}, failure="garbled"), MailchimpError),
        (Answer(None, failure="unconnected"), MailchimpUnreachable),
        (Answer(None, failure="certificate", reason="the certificate of x is not accepted"), CertificateNotAccepted),
        (Answer(None, failure="timeout"), MailchimpUnreachable),
        (Answer(None, failure="connection"), MailchimpUnreachable),
        (Answer(None, failure="stopped"), MailchimpUnreachable),
    ],
)
def test_each_answer_has_the_error_that_tells_whose_it_is(answer, kind):
    """A bad key, a wrong data centre, an unreachable Mailchimp and a wrong URL have different errors."""
    assert type(error_for(answer)) is kind


@pytest.mark.parametrize("failure", get_args(Failure))
def test_every_failure_is_explained(failure):
    """Each failure has a sentence of its own and advice."""
    error = error_for(Answer(None, failure=failure))
    assert error.message.endswith(".")
    assert error.advice.endswith(".")
    others = [error_for(Answer(None, failure=one)).message for one in get_args(Failure) if one != failure]
    assert error.message not in others


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 500, 502, 504])
def test_what_mailchimp_said_is_repeated(status):
    """The title of Mailchimp's problem document is in the message; without one the message says that there is none."""
    assert "Some Title" in error_for(Answer(status, {"title": "Some Title"})).message
    assert "no reason given" in error_for(Answer(status, {})).message


@pytest.mark.parametrize("answer", [Answer(302), Answer(404, {}), Answer(None, failure="garbled")])
def test_what_no_mailchimp_answers_points_at_the_url(answer):
    """Where something else than Mailchimp seems to answer, the advice names the setting of the URL."""
    assert "mailchimp.base_url" in error_for(answer).advice
