"""The pages and their paths."""

from __future__ import annotations

from worker.web.access.visitor import Need
from worker.web.pages import fields, operators, people, person, review, settings_log, settings_page, syncs
from worker.web.routing import Handle, Page

_GET: tuple[tuple[str, Handle], ...] = (
    ("", settings_page.show),
    ("/refreshing", settings_page.refreshing),
    ("/review", review.review),
    ("/disconnect", review.ask_disconnect),
    ("/held", review.held),
    ("/fields", fields.show),
    ("/people", people.show),
    ("/people.csv", people.as_csv),
    ("/person", person.show),
    ("/waiting", people.show_waiting),
    ("/runs", syncs.show_runs),
    ("/log", settings_log.show),
)
_POST: tuple[tuple[str, Handle], ...] = (
    ("/connect", settings_page.connect),
    ("/refresh", settings_page.refresh),
    ("/resume", settings_page.resume),
    ("/sync", settings_page.sync),
    ("/enable", review.enable),
    ("/lists", review.lists),
    ("/review", review.save),
    ("/disconnect", review.disconnect),
    ("/fields", fields.save),
    ("/held", review.confirm_held),
)
_ACCOUNT = "/accounts/{account_id}/mailchimp"

PAGES = (
    *(Page(f"{_ACCOUNT}{path}", handle, Need.ACCOUNT, anywhere=path == "/log") for path, handle in _GET),
    *(Page(f"{_ACCOUNT}{path}", handle, Need.ACCOUNT, ("POST",)) for path, handle in _POST),
    Page("/", operators.show, Need.OPERATOR),
    Page("/dead-letters", operators.show_dead_letters, Need.OPERATOR),
    Page("/dead-letters/replay", operators.replay, Need.OPERATOR, ("POST",)),
)
