"""The changes that a step lists, and how a plan shows them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

HIDDEN = "********"
SECRET_KEYS = frozenset({"sts:ExternalId", "external_id", "storage_aws_external_id"})
SIGNS = {"create": "+", "update": "~", "delete": "-", "run": ">", "failed": "!"}


@dataclass(frozen=True)
class Change:
    """A call that is needed and not made yet, with its reason.

    Args:
        verb: The kind of change; ``wait``, ``note`` and ``failed`` only inform.
        resource: The resource, as users name it.
        reason: Why the change is needed, or why it failed.
        before: The resource now, for the diff.
        after: The resource after the change.
        apply: Makes the call; None for what only informs.
        account: The account of the call.
        region: The region of the call.
        removes: What is gone afterwards; of a deletion, at least its resource.
    """

    verb: Literal["create", "update", "delete", "run", "wait", "note", "failed"]
    resource: str
    reason: str
    before: Any = None
    after: Any = None
    apply: Callable[[], object] | None = None
    account: str = ""
    region: str = ""
    removes: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether `apply` makes a call for it."""
        return self.apply is not None

    @property
    def removed(self) -> tuple[str, ...]:
        """What is gone afterwards."""
        return self.removes or ((self.resource,) if self.verb == "delete" else ())

    def at(self, account: str, region: str) -> Change:
        """Return the change with its account and region, unless it has them."""
        return replace(
            self, account=self.account or account, region=self.region or region
        )

    def failed(self, why: object) -> Change:
        """Return the change after its call failed."""
        return replace(self, verb="failed", reason=str(why), apply=None)

    def as_json(self) -> dict[str, Any]:
        """Return the change for ``plan --json``, with external ids masked."""
        return {
            "verb": self.verb,
            "account": self.account,
            "region": self.region,
            "resource": self.resource,
            "reason": self.reason,
            "before": mask(self.before),
            "after": mask(self.after),
            "removes": list(self.removed),
        }

    def as_lines(self) -> list[str]:
        """Return a headline and a diff, with external ids masked."""
        where = f" ({self.account} {self.region})" if self.account else ""
        sign = SIGNS.get(self.verb, "·")
        lines = [f"{sign} {self.verb} {self.resource}{where}: {self.reason}"]
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
