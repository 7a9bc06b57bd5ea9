"""Lint the SQL, as written and as it compiles.

sqlfluff passes over what macros write into a model. So each file is linted a second
time with that text, for what does not depend on layout. A file whose text and compiled
text have passed before is not linted again.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlfluff
from sqlfluff.core import FluffConfig, Linter
from sqlfluff.utils.reflow.sequence import ReflowSequence

FOLDERS = ["models", "analyses", "tests"]
#: Names, joins and structure. Layout is not the macros' business.
COMPILED_RULES = "CP01,CP02,CP03,CP04,CP05,AL01,AL02,AM01,AM02,AM05,RF01,RF02,ST03,ST05"
#: The keys of what has passed, one a line.
PASSED = Path(".sqlfluff_cache")
MAX_LINE = 88

_from_root = ReflowSequence.from_root
_last: list[Any] = [None, None]


def _from_root_once(root: Any, config: FluffConfig) -> ReflowSequence:
    """Return what the last call returned for the same statement.

    Four rules read it, none changes it, and computing it takes most of the time.
    """
    if _last[0] is not root:
        _last[:] = root, _from_root(root, config)
    sequence: ReflowSequence = _last[1]
    return sequence


ReflowSequence.from_root = _from_root_once
WRITTEN = Linter(config=FluffConfig.from_root())
COMPILED = Linter(
    config=FluffConfig.from_root(
        overrides={"rules": COMPILED_RULES, "ignore_templated_areas": False}
    )
)
# A file that is disabled on this target would be a warning.
logging.getLogger("sqlfluff").setLevel(logging.ERROR)
passed: set[str] = set()


def lint(path: str) -> tuple[str, list[str]]:
    """Lint one file.

    Returns:
        A key of what was linted, and a line for each violation.
    """
    rendered = WRITTEN.render_file(path, WRITTEN.config)
    text = [variant.templated_str for variant in rendered.templated_variants]
    rules = Path(".sqlfluff").read_text(), COMPILED_RULES, sqlfluff.__version__
    key = hashlib.sha256(repr((path, rendered.source_str, text, rules)).encode())
    if key.hexdigest() in passed:
        return key.hexdigest(), []
    parsed = Linter.parse_rendered(rendered)
    violations = [
        *Linter.lint_parsed(parsed, WRITTEN.get_rulepack()).get_violations(),
        *Linter.lint_parsed(
            parsed._replace(config=COMPILED.config), COMPILED.get_rulepack()
        ).get_violations(),
    ]
    lines = {
        f"{path}:{found.line_no}:{found.line_pos} {found.rule_code()} {found.desc()}"
        for found in violations
    }
    return key.hexdigest(), sorted(lines)


def main() -> int:
    """Lint what has changed since it passed.

    Returns:
        0 if nothing is wrong, else 1.
    """
    files = [str(path) for folder in FOLDERS for path in Path(folder).rglob("*.sql")]
    wrong = [
        f"{path}:{number} is longer than {MAX_LINE} columns"
        for path in sorted(Path("macros").rglob("*.sql"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > MAX_LINE
    ]
    if PASSED.is_file():
        passed.update(PASSED.read_text().split())
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {
            "VPC_FLOW_DUCKDB_PATH": ":memory:",
            "DBT_TARGET_PATH": f"{scratch}/target",
            "DBT_LOG_PATH": f"{scratch}/logs",
        }
        # Parses the project, which the processes share then.
        files = list(WRITTEN.templater.sequence_files(files, WRITTEN.config))
        with multiprocessing.get_context("fork").Pool() as processes:
            linted = processes.map(lint, files, chunksize=1)
    for _, lines in linted:
        wrong += lines
    PASSED.write_text("\n".join(sorted(key for key, lines in linted if not lines)))
    print("\n".join(wrong) or f"{len(files)} SQL files, nothing wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
