"""Read settings from ``bootstrap.yml``, the environment and flags."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from bootstrap.errors import BootstrapError
from bootstrap.settings import Settings

ENVIRONMENT_PREFIX = "VPC_FLOW_BOOTSTRAP__"


def load(
    path: Path,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Settings:
    """Read the settings; flags win over the environment, which wins over the file.

    Args:
        path: The YAML file; may be missing if the rest has every key.
        environment: Variables such as ``VPC_FLOW_BOOTSTRAP__BUCKET__NAME``.
        overrides: Values of ``--set``, such as ``bucket.name=x``.

    Raises:
        BootstrapError: The file is not YAML, or keys or values are wrong; the message
            lists all of them.
    """
    document = _read(path)
    for variable, value in sorted((environment or {}).items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            keys = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _put(document, keys, _value(value, variable), variable)
    for override in overrides:
        dotted, equals, value = override.partition("=")
        keys, at = dotted.split("."), f"--set {dotted}"
        if not equals or not all(keys):
            raise BootstrapError(f"--set {override}: write it as KEY=VALUE")
        _put(document, keys, _value(value, at), at)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        lines = "\n".join(f"  {problem}" for problem in _sentences(error))
        if not path.exists():
            lines += "\n  (the file does not exist: copy bootstrap.yml.example to it)"
        raise BootstrapError(f"{path} has errors:\n{lines}") from None


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BootstrapError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise BootstrapError(f"{path} is not YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BootstrapError(f"{path} must be a mapping of keys, such as `bucket:`")
    return document


def _value(text: str, at: str) -> object:
    # Only lists and mappings are parsed as YAML. Other values stay text, so that an
    # account id keeps its leading zeros; pydantic converts numbers.
    if text[:1] not in ("[", "{"):
        return text
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BootstrapError(f"{at}: {text} is not YAML: {error}") from None
    return value


def _put(document: dict[str, object], keys: list[str], value: object, at: str) -> None:
    *parents, last = keys
    here: dict[str, object] = document
    for key in parents:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            raise BootstrapError(
                f"{at}: `{key}` is not a mapping; set all of it at once"
            )
        here = below
    here[last] = value


# In place of pydantic's messages, which name Python types.
WORDS = {
    "tuple_type": "it must be a list, such as [a, b]",
    "dict_type": "it must be a mapping of keys",
    "model_type": "it must be a mapping of keys",
    "missing": "missing",
}


def _sentences(error: ValidationError) -> list[str]:
    # pydantic also reports a list as empty when its items are wrong.
    return [
        _sentence(problem)
        for problem in map(dict, error.errors())
        if problem["type"] != "too_short" or not problem["input"]
    ]


def _sentence(problem: dict[str, object]) -> str:
    location = problem["loc"]
    assert isinstance(location, tuple)
    message = WORDS.get(
        str(problem["type"]), str(problem["msg"]).removeprefix("Value error, ")
    )
    given = problem.get("input")
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(
            str(location[-1]), _keys_beside(location), n=1
        )
        message = "unknown key" + (f"; did you mean `{close[0]}`?" if close else "")
    elif problem["type"] == "string_type" and isinstance(given, int):
        message = "quote it, since YAML reads a number and drops leading zeros"
    elif isinstance(given, str | int | float) and "external_id" not in location:
        message += f" (given: {given!r})"
    # pydantic adds the name of an alternative, with brackets, to the location.
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in location
        if "[" not in str(part)
    )
    return f"{where.removeprefix('.')}: {message}" if where else message


def _keys_beside(location: tuple[object, ...]) -> list[str]:
    """Return the valid keys next to an unknown one."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        below = _model_in(model.model_fields[part].annotation)
        if below is not None:
            model = below
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
