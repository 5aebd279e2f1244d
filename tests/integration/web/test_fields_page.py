"""The page on which an owner chooses what goes to which field of a list, without JavaScript."""

from __future__ import annotations

import re

from tests.integration.flush.world import ACCOUNT, KEY
from tests.integration.web.site import Site

PAGE = f"/accounts/{ACCOUNT}/mailchimp"


def gets(text: str) -> dict[str, str]:
    """What each input of the form has."""
    return dict(re.findall(r'name="gets-(\w+)" value="([^"]*)"', text))


def test_the_form_shows_every_field_and_saves_what_is_written(site: Site) -> None:
    """What goes where by default, the attributes that customers have, and after saving the settings page says it."""
    site.world.standin.add_merge_field("master", {"name": "Birthday", "type": "birthday", "tag": "BIRTHDAY"})
    site.world.event("ann", "ann@example.com", attributes={"born": "1980-05-03"}, tags=["vip"])
    owner = site.owner()
    assert "/fields?list=master" in owner.get(PAGE).text
    text = owner.get(f"{PAGE}/fields?list=master").text
    inputs = gets(text)
    assert (inputs["FNAME"], inputs["BIRTHDAY"]) == ("first_name", "")
    assert '<option value="born">' in text
    sent = {"list": "master"} | {f"gets-{tag}": value for tag, value in inputs.items()}
    answer = owner.post(f"{PAGE}/fields", data=sent | {"gets-BIRTHDAY": " born ", "gets-COMPANY": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?done=saved#data")
    assert site.world.settings.list_of("master").merge_fields == {"BIRTHDAY": "born", "COMPANY": ""}  # type: ignore[union-attr]
    assert "“born”" in owner.get(PAGE).text
    site.world.flush()
    assert site.world.fields("ann@example.com") == {"BIRTHDAY": "05/03"}
    log = owner.get(f"{PAGE}/log").text
    assert "Chose what a field gets: BIRTHDAY=born on Master (master), before the default." in log


def test_what_does_not_fit_is_said_beside_the_form(site: Site) -> None:
    """Nothing is saved, and what was written stays in its field."""
    owner = site.owner()
    answer = owner.post(f"{PAGE}/fields", data={"list": "master", "gets-ADDRESS": "street"})
    assert answer.status_code == 422
    assert "takes a whole address" in answer.text
    assert gets(answer.text)["ADDRESS"] == "street"
    assert site.world.settings.list_of("master").merge_fields is None  # type: ignore[union-attr]


def test_a_list_that_is_not_known_and_a_key_that_is_refused_are_said(site: Site) -> None:
    """The page says what is wrong and what to do."""
    owner = site.owner()
    assert "This list is not known here" in owner.get(f"{PAGE}/fields?list=nowhere").text
    site.world.standin.revoke(KEY)
    answer = owner.get(f"{PAGE}/fields?list=master")
    assert answer.status_code == 409
    assert "Mailchimp did not tell us the fields" in answer.text


def test_markup_in_a_name_is_text(site: Site) -> None:
    """Names from Mailchimp and billmywork are escaped."""
    site.world.standin.add_merge_field("master", {"name": "<script>", "type": "text", "tag": "ODD"})
    site.world.event("ann", "ann@example.com", attributes={'"><b>': "x"})
    text = site.owner().get(f"{PAGE}/fields?list=master").text
    assert "<script>" not in text.replace('<script src="/static/page.js" defer></script>', "")
    assert "<b>" not in text
