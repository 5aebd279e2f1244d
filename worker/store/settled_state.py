"""SQL for the part of a customer's state that stays once its deletion is settled."""

NAMING = ("first_name", "last_name", "company", "phone", "address", "attributes", "tags")
"""Fields of a customer's state that no decision needs; they are deleted once a deletion is settled."""
_PATHS = ", ".join(f"'$.{name}'" for name in NAMING)
SETTLED_STATE = f"CASE WHEN deleted THEN json_remove(CAST(state AS TEXT), {_PATHS}) ELSE state END"
