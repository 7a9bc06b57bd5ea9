"""Evaluates an IAM policy for a request, by the IAM guide's evaluation logic.

It covers the policies here: Allow and Deny, wildcards, and string conditions. A
condition is false if the request does not have its key (IAM guide, "Condition
operators").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from bootstrap.policies import as_list, statements


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        action: Such as ``s3:GetObject``.
        resource: The ARN.
        context: Its condition keys and values.
        principal: The caller; None for identity policies.
    """

    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)
    principal: tuple[str, str] | None = None


def allows(policy: dict[str, Any], request: Request) -> bool:
    """Return whether the policy allows it: an Allow and no Deny matches."""
    effects = {s["Effect"] for s in statements(policy) if _matches(s, request)}
    return effects == {"Allow"}


def _matches(statement: dict[str, Any], request: Request) -> bool:
    known = {
        "Sid", "Effect", "Principal", "Action", "Resource", "Condition",
    }  # fmt: skip
    assert set(statement) <= known, "an element that this evaluator does not support"
    return (
        _any_like(statement["Action"], request.action, ignore_case=True)
        and _any_like(statement.get("Resource", "*"), request.resource)
        and _is_principal(statement, request)
        and all(
            _holds(operator, key, values, request)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _is_principal(statement: dict[str, Any], request: Request) -> bool:
    if request.principal is None:
        return True
    wanted = statement.get("Principal")
    if wanted == "*":
        return True
    kind, name = request.principal
    return isinstance(wanted, dict) and name in as_list(wanted.get(kind, []))


def _holds(operator: str, key: str, values: Any, request: Request) -> bool:
    if key not in request.context:
        return False
    value = request.context[key]
    if operator in ("StringEquals", "Bool"):
        return value in as_list(values)
    assert operator in ("StringLike", "ArnLike", "ArnEquals")
    return _any_like(values, value)


def _any_like(patterns: Any, value: str, ignore_case: bool = False) -> bool:
    flags = re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL
    for pattern in as_list(patterns):
        # Only `*` and `?` are wildcards: brackets are not.
        regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(regex, value, flags):
            return True
    return False
