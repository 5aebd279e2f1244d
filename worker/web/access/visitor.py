"""The visitor of a request, and what each visitor may see. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from worker.model import AccountId


class Need(Enum):
    """Who may use a route."""

    NOTHING = "nothing"
    ACCOUNT = "account"
    """A visitor of the account in the path, or an operator."""
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Visitor:
    """The visitor of a request.

    Attributes:
        account_id: the only account that the visitor may see and change; None for an operator, who may see all.
        session: identifies the session, for its forms; None for a program that used the operators' token.
        name: of the person, as the link says; None if unknown.
    """

    account_id: AccountId | None
    session: str | None = None
    name: str | None = None

    @property
    def operator(self) -> bool:
        """Whether the visitor is an operator."""
        return self.account_id is None

    def may(self, need: Need, account_id: AccountId | None) -> bool:
        """Returns whether the visitor may use a route.

        Args:
            account_id: the account in the path; None if there is none.
        """
        if need is Need.NOTHING or self.operator:
            return True
        return need is Need.ACCOUNT and account_id is not None and self.account_id == account_id

    def __str__(self) -> str:
        """Returns the visitor, as the log of settings names it: "operator", "account acct-1 (Ann)"."""
        kind = "operator" if self.operator else f"account {self.account_id}"
        return f"{kind} ({self.name})" if self.name else kind
