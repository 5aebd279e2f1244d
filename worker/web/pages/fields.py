"""The form that maps customers' details to the merge fields of a list."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from worker.errors import AccountError, MailchimpError, NotFound, WorkerError
from worker.fields.field_mapping import CUSTOMER_FIELDS, NOTHING, MappedField, unfit
from worker.model import ListId
from worker.store import customers
from worker.web import account_editor
from worker.web.account_reader import merge_fields_of, settings_of
from worker.web.call import Call
from worker.web.pages.layout import back, page
from worker.web.pages.settings_page import settings_response
from worker.web.pages.words import list_name
from worker.web.pages.your_data import detail_of

GETS = "gets-"
"""The prefix of the form's field names; the merge tag follows."""


def show(call: Call) -> Response:
    """Shows the merge fields of the list in the query, as Mailchimp has them now."""
    return _form(call, ListId(call.query.get("list", "")))


def save(call: Call) -> Response:
    """Saves the form: each field gets what was chosen, an empty one gets nothing."""
    list_id = ListId(call.field("list"))
    sources = {name.removeprefix(GETS).upper(): call.field(name).strip() for name in call.form if name.startswith(GETS)}
    try:
        account_editor.choose_fields(call, list_id, sources)
    except AccountError as error:
        return _form(call, list_id, sources, error=error.message, status=422)
    except (MailchimpError, NotFound) as error:
        return _not_known(call, error)
    return back(call, "#data", "saved")


def _form(
    call: Call, list_id: ListId, sources: Mapping[str, str] | None = None, error: str | None = None, status: int = 200
) -> Response:
    try:
        mapped_fields = merge_fields_of(call, list_id)
    except (AccountError, MailchimpError, NotFound) as failed:
        return _not_known(call, failed)
    known_sources = [*CUSTOMER_FIELDS, *customers.attribute_names(call.db, call.account)]
    return page(
        call,
        "fields.html",
        title="Fields",
        status=status,
        list_id=list_id,
        list_name=list_name(settings_of(call), list_id),
        rows=[_row(mapped, sources) for mapped in mapped_fields if mapped.field is not None],
        lacking=[detail_of(row.source) for row in mapped_fields if row.field is None and row.source is not None],
        known_sources=list(dict.fromkeys(known_sources)),
        error=error,
    )


def _not_known(call: Call, error: WorkerError) -> Response:
    if isinstance(error, NotFound):
        return settings_response(
            call, warning="This list is not known here. Refresh your lists, and try again.", status=404
        )
    if isinstance(error, MailchimpError):
        warning = "Mailchimp did not tell us the fields of this list. Nothing was changed. Try again soon."
        return settings_response(call, warning=warning, status=409)
    return settings_response(call, warning="Connect your Mailchimp account first.", status=409)


def _row(mapped: MappedField, sources: Mapping[str, str] | None) -> dict[str, str | None]:
    assert mapped.field is not None, "the list has it"
    source = (sources or {}).get(mapped.tag, mapped.source or NOTHING)
    return {
        "tag": mapped.tag,
        "name": mapped.field.name or mapped.tag,
        "type": mapped.field.type,
        "source": source,
        "why": unfit(source, mapped.field) if source else None,
        "choices": ", ".join(mapped.field.choices) or None,
    }
