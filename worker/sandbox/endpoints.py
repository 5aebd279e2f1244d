"""The endpoints of Mailchimp's API that the stand-in serves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from worker.clock import as_moment
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox import contact, tags
from worker.sandbox.batch import add_all
from worker.sandbox.contact import STATUSES, Author
from worker.sandbox.errors import Problem, invalid, not_found
from worker.sandbox.mailing_list import MailingList, page
from worker.sandbox.member import Member
from worker.sandbox.merge import MergeField
from worker.sandbox.user import User

MOST_A_PAGE = 1000
USUAL_PAGE = 10
_SORTINGS = ("last_changed", "timestamp_signup", "timestamp_opt")
_LIST = re.compile(r"/lists/([^/]+)")
_LIST_NEEDS = ("name", "permission_reminder", "email_type_option", "contact", "campaign_defaults")


def respond(user: User, call: Call, cause: str) -> Answer:
    """Carries out one call.

    Args:
        call: its path is relative to ``/3.0``.

    Raises:
        Problem: the call is refused.
    """
    by = Author(cause, validate=not _flag(call, "skip_merge_validation"))
    top = _TOP.get(call.path)
    if top is not None:
        return _handler(top, call.method)(user, call)
    for pattern, methods in _BELOW:
        match = pattern.fullmatch(call.path)
        if match is not None:
            mailing_list = user.lists.get(match[1])
            if mailing_list is None:
                raise not_found()
            if pattern is _LIST and call.method == "DELETE":
                del user.lists[mailing_list.list_id]
                return Answer(204)
            return _handler(methods, call.method)(mailing_list, call, by, *match.groups()[1:])
    raise not_found()


def _handler(methods: _Methods, method: str) -> Callable[..., Answer]:
    if method not in methods:
        detail = "The requested method and resource are not compatible. See the Allow header for this resource."
        raise Problem(405, "Method Not Allowed", detail)
    return methods[method]


# The user


def _ping(user: User, call: Call) -> Answer:
    return Answer(200, {"health_status": "Everything's Chimpy!"})


def _root(user: User, call: Call) -> Answer:
    return Answer(200, user.as_json())


def _lists(user: User, call: Call) -> Answer:
    offset, count = _paging(call)
    lists = sorted(user.lists.values(), key=lambda mailing_list: (mailing_list.created, mailing_list.list_id))
    if call.query.get("sort_dir") == "DESC":
        lists.reverse()
    listed = [mailing_list.as_json() for mailing_list in lists[offset : offset + count]]
    constraints = {"may_create": True, "max_instances": 100, "current_total_instances": len(lists)}
    return Answer(200, {"lists": listed, "total_items": len(lists), "constraints": constraints})


def _create_list(user: User, call: Call) -> Answer:
    body = call.body or {}
    lacking = [(name, "This value should not be blank.") for name in _LIST_NEEDS if name not in body]
    if lacking:
        raise invalid("The resource submitted could not be validated.", *lacking)
    permissions = body.get("marketing_permissions") is True
    mailing_list = user.create_list(user.next_list_id(), str(body["name"]), marketing_permissions=permissions)
    return Answer(200, mailing_list.as_json())


# A list


def _list(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    return Answer(200, mailing_list.as_json())


def _add_all(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    return add_all(mailing_list, call.body or {}, by, skip_duplicates=_flag(call, "skip_duplicate_check"))


def _merge_fields(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    offset, count = _paging(call)
    fields = [field for field in mailing_list.fields.values() if call.query.get("type") in (None, field.kind)]
    listed = [field.as_json(mailing_list.list_id) for field in fields[offset : offset + count]]
    return Answer(200, {"merge_fields": listed, "list_id": mailing_list.list_id, "total_items": len(fields)})


def _create_merge_field(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    field = MergeField.from_json(mailing_list.next_merge_id(), call.body or {})
    if field.tag in mailing_list.fields:
        raise invalid("Your merge field was invalid.", ("tag", f'A Merge Field with the tag "{field.tag}" exists.'))
    mailing_list.fields[field.tag] = field
    return Answer(200, field.as_json(mailing_list.list_id))


def _members(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    offset, count = _paging(call)
    status, sorting = call.query.get("status"), call.query.get("sort_field")
    if status not in (None, "archived", *STATUSES):
        raise invalid("status is none that a member can have.", ("status", "Value is not one of the choices."))
    if sorting not in (None, *_SORTINGS):
        raise invalid("sort_field is none to sort by.", ("sort_field", "Value is not one of the choices."))
    members: Iterable[Member] = mailing_list.ordered(status, sorting)  # type: ignore[arg-type]  # checked just now
    total = mailing_list.count(status)
    if "since_last_changed" in call.query or "before_last_changed" in call.query:
        members = _changed_within(members, call)
        total = len(members)
    if sorting is not None and call.query.get("sort_dir") == "DESC":
        members = reversed(list(members))
    listed = [member.as_json() for member in page(members, offset, count)]
    return Answer(200, {"members": listed, "list_id": mailing_list.list_id, "total_items": total})


def _changed_within(members: Iterable[Member], call: Call) -> list[Member]:
    since, before = (_moment(call, name) for name in ("since_last_changed", "before_last_changed"))
    return [
        member
        for member in members
        if (since is None or member.last_changed >= since) and (before is None or member.last_changed <= before)
    ]


def _create_member(mailing_list: MailingList, call: Call, by: Author) -> Answer:
    return Answer(200, contact.post(mailing_list, call.body or {}, by).as_json())


# A member


def _member(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    return Answer(200, mailing_list.get(hashed).as_json())


def _put(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    return Answer(200, contact.put(mailing_list, hashed, call.body or {}, by).as_json())


def _patch(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    return Answer(200, contact.patch(mailing_list, hashed, call.body or {}, by).as_json())


def _archive(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    contact.archive(mailing_list, hashed, by)
    return Answer(204)


def _tags(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    return Answer(200, tags.listed(mailing_list.get(hashed), *_paging(call)))


def _change_tags(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    tags.change(mailing_list, mailing_list.get(hashed), call.body or {})
    return Answer(204)


def _forget(mailing_list: MailingList, call: Call, by: Author, hashed: str) -> Answer:
    mailing_list.remove(mailing_list.get(hashed), by.cause)
    return Answer(204)


_Methods = Mapping[str, Callable[..., Answer]]
_TOP: Mapping[str, _Methods] = {
    "/ping": {"GET": _ping},
    "/": {"GET": _root},
    "/lists": {"GET": _lists, "POST": _create_list},
}
# Sorted by how often they are called.
_BELOW: tuple[tuple[re.Pattern[str], _Methods], ...] = (
    (
        re.compile(r"/lists/([^/]+)/members/([^/]+)"),
        {"GET": _member, "PUT": _put, "PATCH": _patch, "DELETE": _archive},
    ),
    (_LIST, {"GET": _list, "POST": _add_all}),
    (re.compile(r"/lists/([^/]+)/members/([^/]+)/tags"), {"GET": _tags, "POST": _change_tags}),
    (re.compile(r"/lists/([^/]+)/members"), {"GET": _members, "POST": _create_member}),
    (re.compile(r"/lists/([^/]+)/merge-fields"), {"GET": _merge_fields, "POST": _create_merge_field}),
    (re.compile(r"/lists/([^/]+)/members/([^/]+)/actions/delete-permanent"), {"POST": _forget}),
)


# Query parameters


def _flag(call: Call, name: str) -> bool:
    return call.query.get(name, "false").lower() in ("true", "1")


def _moment(call: Call, name: str) -> Any:
    try:
        return as_moment(call.query[name]) if name in call.query else None
    except ValueError as error:
        raise invalid(f"{name} is no time.", (name, "This value is not a valid datetime.")) from error


def _paging(call: Call) -> tuple[int, int]:
    try:
        offset, count = int(call.query.get("offset", 0)), int(call.query.get("count", USUAL_PAGE))
    except ValueError as error:
        raise invalid("count and offset must be numbers.") from error
    if offset < 0 or not 0 <= count <= MOST_A_PAGE:
        raise invalid(f"count must be 0 to {MOST_A_PAGE}, and offset not below 0.")
    return offset, count
