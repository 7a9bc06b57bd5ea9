"""The severities of findings, which the registry of the detections gives."""

#: The worst first.
SEVERITIES = ("critical", "high", "medium", "low")


def rank(column: str) -> str:
    """Return SQL by which to order the worst first: 0 for the worst severity."""
    ranks = " ".join(f"when '{name}' then {n}" for n, name in enumerate(SEVERITIES))
    return f"case {column} {ranks} end"
