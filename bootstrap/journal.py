"""A copy of the bucket policy on disk, while AWS may overwrite the policy.

AWS's guides contradict each other on what creating a flow log does to an existing
bucket policy: "overwrites any existing policy" (VPC guide), "appended" (CloudWatch
Logs guide). If the program stops before it repairs an overwritten policy, the next run
restores the statements of others from this copy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Journal:
    """The policy from before flow logs were created, until the program checks it.

    Args:
        path: The file; one for each bucket.
    """

    path: Path

    def save(self, policy: str | None) -> None:
        """Write a policy's text, unless the file has an older one."""
        if self.path.exists() or policy is None:
            return
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        # Keep the folder out of git.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        waiting = self.path.with_suffix(".new")
        waiting.write_text(policy, "utf-8")
        os.replace(waiting, self.path)

    def read(self) -> str | None:
        """Return the policy in the file, or None."""
        return self.path.read_text("utf-8") if self.path.exists() else None

    def clear(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
