"""The changes that a step lists, and how a plan shows them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

HIDDEN = "********"
SECRET_KEYS = frozenset({"sts:ExternalId", "external_id", "storage_aws_external_id"})


@dataclass(frozen=True)
class Change:
    """A call that is needed and not made yet, with its reason.

    Args:
        verb: The kind of change; ``wait`` and ``note`` only inform the user.
        resource: The resource, as users name it.
        reason: Why the change is needed.
        before: The resource now, for the diff.
        after: The resource after the change.
        apply: Makes the call; None for ``wait`` and ``note``.
    """

    verb: Literal["create", "update", "delete", "run", "wait", "note"]
    resource: str
    reason: str
    before: Any = None
    after: Any = None
    apply: Callable[[], object] | None = None

    @property
    def pending(self) -> bool:
        """Whether `apply` makes a call for it."""
        return self.apply is not None

    def as_json(self) -> dict[str, Any]:
        """Return the change for ``plan --json``, with external ids masked."""
        return {
            "verb": self.verb,
            "resource": self.resource,
            "reason": self.reason,
            "before": mask(self.before),
            "after": mask(self.after),
        }

    def as_lines(self) -> list[str]:
        """Return a headline and a diff, with external ids masked."""
        signs = {"create": "+", "update": "~", "delete": "-", "run": ">"}
        sign = signs.get(self.verb, "·")
        lines = [f"{sign} {self.verb} {self.resource}: {self.reason}"]
        before, after = _lines(mask(self.before)), _lines(mask(self.after))
        if self.before is None or self.after is None:
            mark = "+" if self.before is None else "-"
            lines += [f"    {mark} {line}" for line in before or after]
        else:
            diff = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
            if before == after:
                diff = ["(a masked value differs)"]
            lines += [f"    {line}" for line in diff]
        return lines


def then(change: Change, after: Callable[[], object]) -> Change:
    """Return the change, followed by another call."""
    first = change.apply
    assert first is not None

    def both() -> None:
        first()
        after()

    return replace(change, apply=both)


def mask(value: Any) -> Any:
    """Return a document with every external id masked."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in SECRET_KEYS else mask(below)
            for key, below in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return value.splitlines()
    return json.dumps(value, indent=2, default=str).splitlines()


def any_pending(changes: Iterable[Change]) -> bool:
    """Return whether `apply` makes a call for any of the changes."""
    return any(change.pending for change in changes)
