"""The form that maps customers' details to the merge fields of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from worker.errors import AccountError, MailchimpError, NotFound, WorkerError
from worker.fields.field_mapping import CUSTOMER_FIELDS, NOTHING, MappedField, unfit
from worker.model import ListId
from worker.store import attribute_names
from worker.web.account_editor import editor_of
from worker.web.account_reader import reader_of
from worker.web.call import Call
from worker.web.pages.layout import back, page
from worker.web.pages.settings_page import shown
from worker.web.pages.your_data import detail_of

GETS = "gets-"
"""The prefix of the form's field names; the merge tag follows."""


def show(call: Call) -> Response:
    """Shows the merge fields of the list in the query, as Mailchimp has them now."""
    return _shown(call, ListId(call.query.get("list", "")))


def save(call: Call) -> Response:
    """Saves the form: each field gets what was chosen, an empty one gets nothing."""
    list_id = ListId(call.field("list"))
    given = {name.removeprefix(GETS).upper(): call.field(name).strip() for name in call.form if name.startswith(GETS)}
    try:
        editor_of(call).choose_fields(list_id, given)
    except AccountError as error:
        return _shown(call, list_id, given=given, error=error.what, status=422)
    except (MailchimpError, NotFound) as error:
        return _not_known(call, error)
    return back(call, "#data", "saved")


def _shown(
    call: Call,
    list_id: ListId,
    given: Mapping[str, str] | None = None,
    error: str | None = None,
    status: int = 200,
) -> Response:
    reading = reader_of(call)
    on_list = reading.settings().list_of(list_id)
    try:
        found = reading.fields(list_id)
    except (AccountError, MailchimpError, NotFound) as failed:
        return _not_known(call, failed)
    known = [*CUSTOMER_FIELDS, *attribute_names.some(call.db, call.account)]
    return page(
        call,
        "fields.html",
        tab="",
        title="Fields",
        status=status,
        list_id=list_id,
        list_name=on_list.name if on_list is not None else list_id,
        rows=[_row(one, given) for one in found if one.field is not None],
        lacking=_lacking(found),
        known=list(dict.fromkeys(known)),
        error=error,
    )


def _not_known(call: Call, error: WorkerError) -> Response:
    if isinstance(error, NotFound):
        return shown(call, warning="This list is not known here. Refresh your lists, and try again.", status=404)
    if isinstance(error, MailchimpError):
        what = "Mailchimp did not tell us the fields of this list. Nothing was changed. Try again soon."
        return shown(call, warning=what, status=409)
    return shown(call, warning="Connect your Mailchimp account first.", status=409)


def _row(one: MappedField, given: Mapping[str, str] | None) -> dict[str, str | None]:
    assert one.field is not None, "the list has it"
    gets = (given or {}).get(one.tag, one.source or NOTHING)
    return {
        "tag": one.tag,
        "name": one.field.name or one.tag,
        "type": one.field.type,
        "gets": gets,
        "why": unfit(gets, one.field) if gets else None,
        "choices": ", ".join(one.field.choices) or None,
    }


def _lacking(found: Sequence[MappedField]) -> list[str]:
    return [detail_of(one.source) for one in found if one.field is None and one.source is not None]
