"""Who asks, and what each visitor may see. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from worker.model import AccountId


class Need(Enum):
    """What a route demands of who asks."""

    NOTHING = "nothing"
    ACCOUNT = "account"
    """A visitor of the account that the path names, or an operator."""
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    Attributes:
        account_id: the one account that the visitor may see and change; None for an operator, who may all.
        session: names the session, for its forms; None for a program that came with the operators' token.
        name: of the person, as who made the link said; None where nobody did.
    """

    account_id: AccountId | None
    session: str | None = None
    name: str | None = None

    @property
    def operator(self) -> bool:
        """Whether it is an operator."""
        return self.account_id is None

    def may(self, need: Need, account_id: AccountId | None) -> bool:
        """Tells whether a route is for this visitor.

        Args:
            account_id: the account that the path names; None where it names none.
        """
        if need is Need.NOTHING or self.operator:
            return True
        return need is Need.ACCOUNT and account_id is not None and self.account_id == account_id

    def __str__(self) -> str:
        """Returns who it is, as the log of settings names it: "operator", "account acct-1 (Ann)"."""
        who = "operator" if self.operator else f"account {self.account_id}"
        return f"{who} ({self.name})" if self.name else who
