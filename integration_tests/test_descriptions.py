"""Descriptions as comments in Snowflake: all of them, written only when they change."""

from __future__ import annotations

import json
import re

from .conftest import AS_OF
from .snowflake_project import Bucket, SnowflakeProject

INCREMENTAL = (
    *("int_health__landed_files", "int_health__loads"),
    "int_formats__unknown_fields_by_file",
)
#: Beside them a view and a mart.
MODELS = (
    *("stg_vpc_flow__flow_logs", "int_records__unread", *INCREMENTAL),
    *("malformed_files", "unknown_fields"),
)


def comments_written(project: SnowflakeProject) -> set[str]:
    """Run the models; return the tables that a statement of its own comments on."""
    project.stand_in.clear_log()
    project.dbt("run", "--select", *MODELS, **AS_OF)
    relation = r'"?flow"?[.]"?analytics"?[.]"?(\w+)'
    pattern = rf"(?is)^\s*(?:comment\b.*?{relation}|alter\b.*?{relation}.*?\bcomment\b)"
    found = [re.match(pattern, text) for text in project.stand_in.statements()]
    return {(match[1] or match[2]).lower() for match in found if match}


def comments_of(project: SnowflakeProject) -> set[tuple[str, str, str]]:
    """What the database says: a relation, a column or '', and the comment."""
    rows = project.query(
        "select table_name, '', comment from flow.information_schema.tables"
        " where table_schema = 'ANALYTICS' union all"
        " select table_name, column_name, comment from flow.information_schema.columns"
        " where table_schema = 'ANALYTICS'"
    )
    return {
        (table.lower(), column.lower(), text.strip())
        for table, column, text in rows
        if table not in ("WRITE_LOCK", "INT_RECORDS__UNREAD")
    }


def test_comments_are_written_when_descriptions_change(bucket: Bucket) -> None:
    project = bucket.project
    bucket.put(bucket.files[0])
    project.stage()
    assert comments_written(project) == set(INCREMENTAL)

    parsed = json.loads((project.target / "target/manifest.json").read_text())
    expected = {
        (node["name"], described.get("name", ""), described["description"].strip())
        for node in parsed["nodes"].values()
        if node["name"] in MODELS and node["config"]["persist_docs"]["relation"]
        for described in [
            {"description": node["description"]},
            *node["columns"].values(),
        ]
    }
    assert comments_of(project) == expected

    assert comments_written(project) == set()
    project.query("comment on table int_health__landed_files is 'An older description'")
    assert comments_written(project) == {"int_health__landed_files"}
    assert comments_of(project) == expected
