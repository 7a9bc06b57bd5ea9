"""Reading statement text: names, ``key = value`` options, brackets.

sf:sql-reference/identifiers-syntax: an unquoted name is upper-cased, a quoted one kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from io import StringIO

from snowflake.connector.util_text import split_statements

from integration_tests.snowflake_stand_in.errors import compilation, syntax

IDENTIFIER = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
NAME = rf"{IDENTIFIER}(?:\.{IDENTIFIER}){{0,2}}"
STRING = r"'(?:[^'\\]|''|\\.)*'"

_FIELDS = {
    "replace": r"(?P<replace>or\s+replace\s+)?",
    "missing": r"(?P<missing>if\s+not\s+exists\s+)?",
    "exists": r"(?P<exists>if\s+exists\s+)?",
    "name": rf"(?P<name>{NAME})",
    "rest": r"(?P<rest>.*)",
}


def words(listed: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(listed.split())


def pattern(template: str) -> re.Pattern[str]:
    """A regular expression from a statement's outline.

    A space matches any white space; ``{name}``, ``{replace}``, ``{missing}``,
    ``{exists}`` and ``{rest}`` match what their names say.
    """
    expression = template.replace(" ", r"\s+")
    for field, regex in _FIELDS.items():
        expression = expression.replace("{" + field + "}", regex)
    return re.compile(expression + r"\s*;?\s*", re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=100)
def statements(text: str) -> tuple[str, ...]:
    """The statements of a text, without comments and closing semicolons."""
    parts = split_statements(StringIO(text), remove_comments=True)
    stripped = (part.strip().removesuffix(";").strip() for part, _ in parts)
    return tuple(part for part in stripped if part)


def identifier(text: str) -> str:
    """One identifier as Snowflake stores it."""
    text = text.strip()
    if text.startswith('"'):
        return text[1:-1].replace('""', '"')
    return text.upper()


def name_parts(text: str) -> tuple[str, ...]:
    """The parts of a dotted name as Snowflake stores them."""
    return tuple(identifier(part) for part in re.findall(IDENTIFIER, text))


def unquote(value: str) -> str:
    """The text of a literal: quoted, dollar-quoted or bare."""
    if value.startswith("$$"):
        return value[2:-2]
    if value.startswith("'"):
        inner = value[1:-1].replace("''", "'")
        return re.sub(r"\\(.)", r"\1", inner)
    return value


def literals(value: str) -> list[str]:
    """The items of a bracketed list."""
    inner = value.strip().removeprefix("(").removesuffix(")")
    return [unquote(item) for item in re.findall(rf"{STRING}|[^\s,()]+", inner)]


def bracketed(text: str) -> tuple[str, str]:
    """Split ``( inner ) rest``; brackets inside strings do not count."""
    depth = 0
    for match in re.finditer(rf"{STRING}|\$\$.*?\$\$|[()]", text, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0 and match.group() == ")":
            return text[text.index("(") + 1 : match.start()], text[match.end() :]
    raise syntax(text)


_OPTION = re.compile(
    rf"\s*,?\s*(?P<key>[A-Za-z_]\w*)\s*=>?\s*"
    rf"(?P<value>{STRING}|\$\$.*?\$\$|\(|{NAME}|[^\s,()=]+)",
    re.DOTALL,
)


def options(text: str, allowed: Collection[str] | None = None) -> dict[str, str]:
    """``KEY = value`` pairs with raw values; what is not allowed is refused."""
    found: dict[str, str] = {}
    rest = text
    while rest.strip(" \t\r\n,;"):
        match = _OPTION.match(rest)
        if match is None:
            raise syntax(rest)
        key, value = match["key"].upper(), match["value"]
        rest = rest[match.end() :]
        if value == "(":
            inner, rest = bracketed("(" + rest)
            value = f"({inner})"
        if allowed is not None and key not in allowed:
            raise compilation(f"invalid parameter '{key}'", 1423, "22023")
        found[key] = value
    return found


def like(text: str, template: str | None) -> bool:
    """SHOW ... LIKE: case-insensitive, with the wildcards ``%`` and ``_``."""
    if template is None:
        return True
    regex = re.escape(template).replace("%", ".*").replace("_", ".")
    return re.fullmatch(regex, text, re.IGNORECASE | re.DOTALL) is not None


def arguments(call: str) -> dict[str, str]:
    """``name => expression`` arguments of a table function, as raw text."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"{STRING}|[(),]", call):
        token = match.group()
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "," and depth == 0:
            parts.append(call[start : match.start()])
            start = match.end()
    parts.append(call[start:])
    found = {}
    for part in parts:
        key, arrow, value = part.partition("=>")
        if not arrow:
            raise syntax(call)
        found[key.strip().upper()] = value.strip()
    return found
