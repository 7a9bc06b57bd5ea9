"""Lint the SQL: as written, and as it compiles.

sqlfluff passes over what macros write into a model, so the compiled statements are
linted as well, for what does not depend on layout.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDERS = ["models", "analyses", "tests"]
# Names, joins and structure; layout is not the macros' business.
COMPILED_RULES = "CP01,CP02,CP03,CP04,CP05,AL01,AL02,AM01,AM02,AM05,RF01,RF02,ST03,ST05"


def main() -> int:
    """Run both passes.

    Returns:
        0 if there is nothing to say, else the exit status of the first failure.
    """
    folders = [folder for folder in FOLDERS if any(Path(folder).rglob("*.sql"))]
    with tempfile.TemporaryDirectory() as scratch:
        # An empty database: linting needs to compile, not to query.
        environment = os.environ | {
            "VPC_FLOW_DUCKDB_PATH": f"{scratch}/lint.duckdb",
            "DBT_TARGET_PATH": f"{scratch}/target",
            "DBT_LOG_PATH": f"{scratch}/logs",
        }
        lint = ["sqlfluff", "lint", "--disable-progress-bar"]
        raw = ["--config", ".sqlfluff", "--templater", "raw", "--rules", COMPILED_RULES]
        return (
            _run([*lint, *folders], environment)
            or _run(["dbt", "--quiet", "compile", "--target", "local"], environment)
            or _run([*lint, *raw, *_compiled(scratch)], environment)
        )


def _run(words: list[str], environment: dict[str, str]) -> int:
    command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    return subprocess.run(command, env=environment, check=False).returncode


def _compiled(scratch: str) -> list[str]:
    """The compiled models and analyses; generic tests lie in folders named `….yml`."""
    return [
        str(path)
        for path in Path(scratch).rglob("target/compiled/**/*.sql")
        if not any(part.endswith(".yml") for part in path.parts)
    ]


if __name__ == "__main__":
    sys.exit(main())
