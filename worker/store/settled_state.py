"""What of a customer's state stays once its deletion is settled, as SQL."""

NAMING = ("first_name", "last_name", "company", "phone", "address", "attributes", "tags")
"""Fields of a customer's state that no decision needs: once a deletion is settled they go."""
_PATHS = ", ".join(f"'$.{one}'" for one in NAMING)
SETTLED_STATE = f"CASE WHEN deleted THEN json_remove(CAST(state AS TEXT), {_PATHS}) ELSE state END"
