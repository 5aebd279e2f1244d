"""Shows the consequences before settings are saved, an account is disconnected, or held changes are confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from worker.accounts.requested_settings import RequestedSettings
from worker.clock import as_moment
from worker.errors import AccountError, NotFound
from worker.model import ListId
from worker.status.account_state import AccountFacts
from worker.store import accounts
from worker.store.accounts import AccountSettings, StatusIfNew
from worker.store.held_counts import CONFIRM_WITHIN, HeldCount, can_be_confirmed
from worker.web import account_editor, account_reader
from worker.web.access.signing_in import account_path
from worker.web.account_reader import Preview, current_state, settings_of
from worker.web.call import Call
from worker.web.error_responses import message_for_owner
from worker.web.errors import ConfirmationNeeded
from worker.web.pages.held import confirmed_in_words, held_in_words, held_remarks
from worker.web.pages.layout import back, page, when
from worker.web.pages.settings_page import settings_response
from worker.web.pages.words import list_name, people

WELCOME = "People you have not asked get your welcome mail, if your list has one."
CONFIRM_MAIL = "Mailchimp sends each of them a mail to confirm. Only those who confirm are subscribed."
UNKNOWN_CONSENT = (
    "At present, a customer who has not told billmywork whether they want marketing mail counts as a yes. Those who "
    "said no are always left out."
)
NEVER_BACK = "Nobody who we know unsubscribed is moved or added again."


@dataclass(frozen=True, slots=True)
class SettingsForm:
    """A submitted form of settings.

    Attributes:
        kind: "enable" or "lists".
        fields: of the form, to be submitted again once the owner has seen the consequences.
    """

    kind: str
    requested: RequestedSettings
    fields: tuple[tuple[str, str], ...]


def settings_form(fields: Mapping[str, Sequence[str]]) -> SettingsForm:
    """Parses a submitted form."""
    if (fields.get("kind") or ["lists"])[-1] == "enable":
        enabled = bool(fields.get("enabled"))
        status_field = (fields.get("status") or [""])[-1]
        status: StatusIfNew | None = "pending" if status_field == "pending" else "subscribed" if status_field else None
        sent = [("kind", "enable"), ("status", status_field)] + ([("enabled", "1")] if enabled else [])
        return SettingsForm("enable", RequestedSettings(enabled=enabled, status_if_new=status), tuple(sent))
    lists = [list_id for list_id in fields.get("list", ()) if list_id]
    master = (fields.get("master") or [""])[-1]
    requested = RequestedSettings(stored=frozenset(map(ListId, lists)), master_list=ListId(master) if master else None)
    sent = [("kind", "lists"), *(("list", list_id) for list_id in lists)] + ([("master", master)] if master else [])
    return SettingsForm("lists", requested, tuple(sent))


def enable(call: Call) -> Response:
    """Handles the switch: turning it off takes effect at once, anything else is shown first."""
    form = settings_form({**call.form, "kind": ["enable"]})
    before = settings_of(call)
    if not form.requested.enabled:
        account_editor.change(call, form.requested)
        return back(call, "", "off") if before.enabled else back(call, "#enable", "saved")
    if before.enabled and before.status_if_new == form.requested.status_if_new:
        return back(call, "#enable", "same")
    return _to_review(call, form)


def lists(call: Call) -> Response:
    """Handles the selected lists, and shows the consequences."""
    form = settings_form({**call.form, "kind": ["lists"]})
    if (error := _list_error(call, form)) is not None:
        return settings_response(call, list_error=error, status=422)
    preview = account_reader.preview(call, form.requested)
    if preview.settings == settings_of(call):
        return back(call, "#lists", "same")
    if preview.follows is None and not preview.settings.enabled:
        # Nobody is affected yet, so there is nothing to show first.
        account_editor.change(call, form.requested)
        return back(call, "", "saved")
    return _to_review(call, form)


def _list_error(call: Call, form: SettingsForm) -> str | None:
    requested, before = form.requested, settings_of(call)
    assert requested.stored is not None, "a form of lists has lists"
    if not requested.stored:
        return "Tick at least one list."
    if requested.master_list is None:
        return "Choose one of the ticked lists as the master list."
    if requested.master_list not in requested.stored:
        master = before.list_of(requested.master_list)
        return f"Tick “{master.name if master is not None else 'it'}” too: the master list is one that you use."
    if used_by_others := requested.stored & accounts.stored_by_others(call.db, call.account):
        names = " and ".join(_name(before, list_id) for list_id in sorted(used_by_others))
        return f"Another account uses {names}. A list can be used by one account only."
    try:
        account_reader.preview(call, requested)
    except (AccountError, NotFound):
        return "One of these lists cannot be used any more. Refresh the lists, and choose again."
    return None


def _to_review(call: Call, form: SettingsForm) -> Response:
    return RedirectResponse(f"{account_path(call.account)}/review?{urlencode(form.fields)}", 303)


def review(call: Call) -> Response:
    """Shows the consequences of the requested settings."""
    query = call.request.query_params
    return _review(call, settings_form({name: query.getlist(name) for name in query}))


def _review(call: Call, form: SettingsForm, error: str | None = None) -> Response:
    try:
        preview = account_reader.preview(call, form.requested)
    except (AccountError, NotFound) as failed:
        return settings_response(call, warning=" ".join(message_for_owner(failed)), status=409)
    at = when(call, call.next_flush)
    before, follows = settings_of(call), preview.follows
    turned_on = form.kind == "enable" and not before.enabled
    ticks = []
    if form.kind == "enable":
        ticks.append(("agreed", "I may write to these people", UNKNOWN_CONSENT))
    ticks += [_tick(preview, list_id, count) for list_id, count in preview.to_confirm.items()]
    remarks = [] if follows is None else [*_asked_again(preview), NEVER_BACK]
    if form.kind == "enable":
        remarks.insert(0, CONFIRM_MAIL if form.requested.status_if_new == "pending" else WELCOME)
    confirmed = [(f"leave-{list_id}", str(count)) for list_id, count in preview.to_confirm.items()]
    return _question(
        call,
        title="Before it is saved",
        question="Turn the integration on?" if turned_on else "Save these settings?",
        lines=follow_lines(preview, at, turned_on=turned_on),
        remarks=remarks,
        action="review",
        fields=[*form.fields, *confirmed],
        ticks=ticks,
        error=error,
        danger=bool(confirmed),
        button="Turn it on" if turned_on else "Save",
        instead=_ask_instead(call, form),
        status=422 if error else 200,
    )


def _question(call: Call, **values: Any) -> Response:
    return page(call, "review.html", **{"fields": (), "ticks": (), "error": None, "instead": None, **values})


def _asked_again(preview: Preview) -> list[str]:
    unreadable = preview.follows.unreadable if preview.follows is not None else {}
    return [
        f"“{list_name(preview.settings, list_id)}” is no longer in your Mailchimp account, so we cannot see who "
        f"unsubscribed from it. The next sync asks you before it adds {people(count)} from it to another list."
        for list_id, count in sorted(unreadable.items())
    ]


def _ask_instead(call: Call, form: SettingsForm) -> tuple[str, str] | None:
    """Returns the alternative for people whose consent is unknown: its label and URL."""
    if form.kind != "enable" or form.requested.status_if_new == "pending":
        return None
    fields = [("kind", "enable"), ("status", "pending"), ("enabled", "1")]
    return "Not sure? Ask them by mail first instead", f"{account_path(call.account)}/review?{urlencode(fields)}"


def _tick(preview: Preview, list_id: ListId, count: int) -> tuple[str, str, str]:
    name = list_name(preview.settings, list_id)
    present = preview.follows.present.get(list_id, 0) if preview.follows is not None else 0
    return f"sure-{list_id}", f"Yes, {people(count)} may leave “{name}”", f"{people(present)} are on it now."


def follow_lines(preview: Preview, at: str, *, turned_on: bool) -> list[str]:
    """Returns what the next sync would do, in the plan's own numbers: "662 people are added as subscribed …"."""
    follows, settings = preview.follows, preview.settings
    if follows is None:
        return ["Nothing is sent to Mailchimp yet. After you save, you see below what is still missing."]
    lines = []
    manner = "as subscribed" if settings.status_if_new == "subscribed" else "once they confirm by mail"
    if follows.adds:
        verb = "is" if follows.adds == 1 else "are"
        start = f"Enabling adds {people(follows.adds)}" if turned_on else f"{people(follows.adds)} {verb} added"
        lines.append(f"{start} {manner} {at}.")
    lines += [
        f"{people(count)} {'moves' if count == 1 else 'move'} from {_name(settings, old)} to {_name(settings, new)}."
        for (old, new), count in sorted(follows.moves.items())
    ]
    lines += [
        f"{people(count)} {'leaves' if count == 1 else 'leave'} {_name(settings, list_id)} for no other list."
        for list_id, count in sorted(follows.leaves.items())
    ]
    return lines or [f"Nobody is added, moved or taken off a list by this {at}."]


def _name(settings: AccountSettings, list_id: ListId) -> str:
    mailing_list = settings.list_of(list_id)
    return f"“{mailing_list.name}”" if mailing_list is not None else str(list_id)


def save(call: Call) -> Response:
    """Saves what was reviewed; shows it again if more would happen than was seen."""
    form = settings_form(call.form)
    if form.kind == "enable" and not call.form.get("agreed"):
        return _review(call, form, "Tick the box if you may write to these people. Otherwise nothing is sent.")
    before = settings_of(call)
    try:
        account_editor.change(call, form.requested, _confirmed(call))
    except ConfirmationNeeded:
        return _review(call, form, "More people would leave a list than you confirmed. Look at the numbers again.")
    except (AccountError, NotFound) as error:
        return settings_response(call, warning=" ".join(message_for_owner(error)), status=409)
    return back(call, "", "on" if form.kind == "enable" and not before.enabled else "saved")


def _confirmed(call: Call) -> dict[ListId, int]:
    confirmed = {}
    for name in call.form:
        list_id, count = name.removeprefix("leave-"), call.field(name)
        if name != list_id and count.isdecimal() and len(count) < 10 and call.form.get(f"sure-{list_id}"):
            confirmed[ListId(list_id)] = int(count)
    return confirmed


def ask_disconnect(call: Call) -> Response:
    """Says what stays in Mailchimp before the account is disconnected."""
    return _question(
        call,
        title="Disconnect",
        question="Disconnect Mailchimp?",
        lines=[
            "We delete your API key here, and send nothing more to Mailchimp.",
            "Everybody who is on your lists in Mailchimp stays there, as they are.",
            "Your choice of lists and what we know of unsubscribed people is kept, in case you connect again.",
        ],
        remarks=["To be sure that nobody uses the key, delete it in Mailchimp too."],
        action="disconnect",
        danger=True,
        button="Disconnect",
    )


def disconnect(call: Call) -> Response:
    """Removes the API key and switches the integration off."""
    account_editor.disconnect(call)
    return back(call, "", "disconnected")


def held(call: Call) -> Response:
    """Shows what was held back on which list, and what confirming it does, for the owner to confirm."""
    return _held(call)


def _held(call: Call, error: str | None = None) -> Response:
    current = current_state(call)
    facts = current.facts
    counts = facts.held_counts
    if not counts or current.syncing or not can_be_confirmed(counts, call.now):
        return back(call)
    until = when(call, min(as_moment(held_count.shown_at) for held_count in counts) + CONFIRM_WITHIN)
    return _question(
        call,
        title="Confirm",
        question="Let these changes happen?",
        lines=[held_in_words(facts.settings, held_count) for held_count in counts],
        remarks=[
            *held_remarks(facts.settings, counts, partial(when, call)),
            f"You can confirm this until {until}. It begins within seconds, with whatever else is waiting.",
        ],
        action="held",
        fields=list(_held_fields(facts).items()),
        ticks=[(_held_tick(held_count), confirmed_in_words(facts.settings, held_count), "") for held_count in counts],
        error=error,
        danger=True,
        button="Confirm and sync now",
        status=422 if error else 200,
    )


def _held_fields(facts: AccountFacts) -> dict[str, str]:
    """Returns the hidden fields that say which numbers the owner saw."""
    return {f"held-{held_count.list_id}-{held_count.kind}": str(held_count.count) for held_count in facts.held_counts}


def _held_tick(held_count: HeldCount) -> str:
    return f"sure-{held_count.list_id}-{held_count.kind}"


def confirm_held(call: Call) -> Response:
    """Confirms what was held back, if it is still what the owner saw. Confirming it twice is the same as once."""
    current = current_state(call)
    if current.held_confirmed:
        return back(call, "", "confirmed")
    if current.syncing:
        warning = "A sync begins or is under way, so the numbers may change. Once it has ended, look at them again."
        return settings_response(call, warning=warning, status=409)
    confirmed = {name: call.field(name) for name in call.form if name.startswith("held-")}
    if confirmed != _held_fields(current.facts):
        return _held(call, "This is not what you saw before. Look at the numbers again.")
    if not all(call.form.get(_held_tick(held_count)) for held_count in current.facts.held_counts):
        return _held(call, "Tick every box if you want all of this. Otherwise nothing of it happens.")
    try:
        account_editor.sync_now(call, confirm_held=True)
    except AccountError as error:
        return settings_response(call, warning=" ".join(message_for_owner(error)), status=409)
    return back(call, "", "confirmed")
