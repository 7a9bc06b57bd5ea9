"""Ask a Snowflake account what only a live account proves: yes or no."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from .built_tables import QueryError, Tables, Where, open_tables

DAY = 86_400
PROOFS = Path(__file__).parent / "proofs.yml"


@dataclass(frozen=True)
class Proof:
    """A claim, and the statements that ask whether it holds.

    Args:
        claim: What holds if the answer is yes.
        ask: A query of one value, true for yes.
        before: A statement before that, or nothing.
        refused: A statement that must fail, after ``before``.
    """

    claim: str
    ask: str
    before: str = ""
    refused: str = ""

    def answer(self, tables: Tables, names: dict[str, str]) -> tuple[bool, str]:
        """Return whether the claim holds, and the reason if not."""
        try:
            if self.before:
                tables.query(self.before.format(**names))
            if self.refused:
                try:
                    tables.query(self.refused)
                except QueryError:
                    pass
                else:
                    return False, "the statement that must fail did not fail"
            ((value,),) = tables.query(self.ask.format(**names)).rows
        except QueryError as failure:
            return False, " ".join(str(failure).split())
        return bool(value), "" if value else "the query answers no"


def proofs() -> list[Proof]:
    """Return all proofs."""
    return [Proof(**read) for read in yaml.safe_load(PROOFS.read_text())]


def answers(
    where: Where, landing: str, say: Callable[[str], None]
) -> Iterator[tuple[Proof, bool, str]]:
    """Ask for each proof whether it holds.

    Args:
        where: The target, which must be one of Snowflake.
        landing: The landing schema.
        say: Prints a line.

    Raises:
        QueryError: Snowflake can't be reached, or the target is of another engine.
    """
    with open_tables(where, say) as tables:
        if tables.engine != "snowflake":
            raise QueryError("This asks a Snowflake account. Add --target snowflake.")
        ((database, schema),) = tables.query(
            "select current_database(), current_schema()"
        ).rows
        names = {
            "database": database,
            "landing": f"{database}.{landing}",
            "models": f"{database}.{schema}",
            # Of a day 13 days ago in UTC, in seconds since 1970.
            "midnight": str((int(time.time()) // DAY - 13) * DAY),
        }
        for proof in proofs():
            yield proof, *proof.answer(tables, names)
