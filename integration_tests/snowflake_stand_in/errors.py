"""Snowflake's SQL errors, as the connector receives them (HTTP 200, success false)."""

from __future__ import annotations


class SqlError(Exception):
    """An error that Snowflake answers with; the connector does not retry it."""

    def __init__(self, message: str, code: int = 1003, state: str = "42000") -> None:
        super().__init__(message)
        self.message, self.code, self.state = message, code, state


def compilation(message: str, code: int = 1003, state: str = "42000") -> SqlError:
    """A statement that cannot be compiled."""
    return SqlError(f"SQL compilation error:\n{message}", code, state)


def syntax(text: str) -> SqlError:
    """A statement, or a part of one, that is not understood."""
    shown = " ".join(text.split())
    return compilation(f"syntax error or unsupported by the stand-in: {shown}")


def missing(kind: str, name: str) -> SqlError:
    """An object that does not exist (Snowflake adds: or is not authorized)."""
    title = kind.capitalize()
    return compilation(
        f"{title} '{name}' does not exist or not authorized.", 2003, "02000"
    )


def exists(name: str) -> SqlError:
    """An object that exists already."""
    return compilation(f"Object '{name}' already exists.", 2002, "42710")
