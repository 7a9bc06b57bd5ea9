"""A bucket policy kept on disk while AWS may overwrite it.

AWS's guides contradict each other on what creating a flow log does to an existing
bucket policy: "overwrites any existing policy" (VPC guide), "appended" (CloudWatch
Logs guide). If the program dies between AWS overwriting it and our repair, other
people's statements would be gone; the next run finds them here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Journal:
    """The policy as it was before flow logs were created, until that is checked.

    Args:
        path: Where it is kept; one for each bucket.
    """

    path: Path

    def save(self, policy: str | None) -> None:
        """Keep a policy's text; one that is already kept is older, and stays."""
        if self.path.exists() or policy is None:
            return
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        # Nothing here belongs into a repository.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        waiting = self.path.with_suffix(".new")
        waiting.write_text(policy, "utf-8")
        os.replace(waiting, self.path)

    def read(self) -> str | None:
        """Return the kept policy, if there is one."""
        return self.path.read_text("utf-8") if self.path.exists() else None

    def clear(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)
