"""Snowflake's own tool, `snow`, with the service left out.

It and dbt-core need different versions of click, so it runs in an environment of its
own. Takes the words of a command and prints the statements that `snow` would send and
the files that it would upload, as JSON; what `snow` refuses ends with its message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snowflake.cli._app.cli_app import CliAppFactory
from snowflake.cli._plugins.dbt.constants import OUTPUT_COLUMN_NAME, RESULT_COLUMN_NAME
from snowflake.cli._plugins.dbt.manager import DBTManager
from snowflake.cli._plugins.stage.manager import StageManager
from snowflake.cli.api.identifiers import FQN

statements: list[str] = []
files: list[str] = []


class Result:
    """A result with one row, in which nothing has gone wrong."""

    query = ""
    description = (
        SimpleNamespace(name=RESULT_COLUMN_NAME),
        SimpleNamespace(name=OUTPUT_COLUMN_NAME),
    )

    def __iter__(self) -> Iterator[tuple[bool, str]]:
        yield True, ""


def record(_: Any, statement: str, **__: Any) -> Result:
    statements.append(" ".join(statement.split()))
    return Result()


def upload(_: Any, path: Path, stage: str, temp_directory: Path) -> Iterator[str]:
    for file in sorted(temp_directory.rglob("*")):
        if file.is_file():
            files.append(str(file.relative_to(temp_directory)))
            yield files[-1]


DBTManager.execute_query = record
DBTManager._validate_role = lambda *_, **__: True
DBTManager.get_dbt_object_attributes = staticmethod(lambda name: None)
StageManager.create = lambda *_, **__: None
StageManager.put_recursive = upload

FQN.using_context = lambda name: name

try:
    CliAppFactory().create_or_get_app()(sys.argv[1:])
finally:
    print(json.dumps({"statements": statements, "files": files}))
