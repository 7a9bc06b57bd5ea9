"""What can be asked by name: the cookbook's questions and the project's tables."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import NamedTuple

import yaml

PROJECT = Path(__file__).parent.parent
COOKBOOK = PROJECT / "docs" / "cookbook.md"
MODELS = PROJECT / "models"

_QUESTION = re.compile(
    r"^### `(?P<name>\w+)`: (?P<title>.*?)$(?:(?!^#).)*?```sql\n(?P<sql>.*?)```",
    flags=re.DOTALL | re.MULTILINE,
)
#: The order and the limit of a query: its last lines, which are not indented.
_ENDING = re.compile(
    r"(?:^order by (?P<order>(?:(?!^\S).|\n)*?)\s*)?(?:^limit \d+\s*)?\Z",
    flags=re.MULTILINE,
)


class Question(NamedTuple):
    """A question of the cookbook.

    `sql` is the whole query; `order` is what its `order by` says, if it has one.
    """

    name: str
    title: str
    sql: str

    @property
    def rows(self) -> str:
        """The query without its order and its limit."""
        return _ENDING.sub("", self.sql, count=1).rstrip()

    @property
    def order(self) -> str:
        """The columns of the result by which the query orders it."""
        found = _ENDING.search(self.sql)
        return " ".join(found["order"].split()) if found and found["order"] else ""


class Table(NamedTuple):
    """A model: what `ask` can show whole."""

    name: str
    title: str
    is_mart: bool


def read_questions(document: Path = COOKBOOK) -> dict[str, Question]:
    """Return the questions of the cookbook by name, in the document's order."""
    return {
        found["name"]: Question(found["name"], found["title"], found["sql"])
        for found in _QUESTION.finditer(document.read_text())
    }


def read_tables(models: Path = MODELS) -> dict[str, Table]:
    """Return the models by name, the marts first, with their descriptions."""
    titles = {
        model["name"]: " ".join(model.get("description", "").split())
        for file in models.rglob("_*.yml")
        for model in yaml.load(file.read_text(), yaml.CSafeLoader).get("models") or []
    }
    tables = [
        Table(
            name=file.stem,
            title=titles.get(file.stem, ""),
            is_mart=file.is_relative_to(models / "marts"),
        )
        for file in models.rglob("*.sql")
    ]
    return {
        table.name: table
        for table in sorted(tables, key=lambda table: (not table.is_mart, table.name))
    }


def near(name: str, names: list[str]) -> list[str]:
    """Return the names that somebody may have meant, the nearest first."""
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    parts = [known for known in names if name in known and known not in similar]
    return (similar + parts)[:5]
