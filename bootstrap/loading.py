"""From ``bootstrap.yml``, the environment and flags to checked settings."""

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
        path: The YAML file. It may be missing if the rest says everything.
        environment: Variables such as ``VPC_FLOW_BOOTSTRAP__BUCKET__NAME``.
        overrides: ``bucket.name=value`` texts, as given to ``--set``.

    Raises:
        BootstrapError: The file is no YAML, or a key or value is wrong; the message
            names every one of them.
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
            raise BootstrapError(f"--set {override}: write it as key=value")
        _put(document, keys, _value(value, at), at)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        lines = "\n".join(f"  {problem}" for problem in _sentences(error))
        if not path.exists():
            lines += "\n  (there is no such file: copy bootstrap.yml.example to it)"
        raise BootstrapError(f"{path} is not right:\n{lines}") from None


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BootstrapError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise BootstrapError(f"{path} is no YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BootstrapError(f"{path}: the top must be a mapping of keys")
    return document


def _value(text: str, at: str) -> object:
    # Lists and mappings are written as in YAML; all else stays text, so that an
    # account id keeps its leading zeros. The model turns text into numbers.
    if text[:1] not in ("[", "{"):
        return text
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BootstrapError(f"{at}: {text} is no YAML: {error}") from None
    return value


def _put(document: dict[str, object], keys: list[str], value: object, at: str) -> None:
    *parents, last = keys
    here: dict[str, object] = document
    for key in parents:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            raise BootstrapError(f"{at}: `{key}` is not a mapping; give it whole")
        here = below
    here[last] = value


# What pydantic says of these is about Python.
WORDS = {
    "tuple_type": "it must be a list, such as [a, b]",
    "dict_type": "it must be a mapping of keys",
    "model_type": "it must be a mapping of keys",
    "missing": "missing",
}


def _sentences(error: ValidationError) -> list[str]:
    # A list whose items are wrong is said to be empty, too.
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
        message = "quote it, or YAML reads a number and drops zeros"
    elif isinstance(given, str | int | float) and "external_id" not in location:
        message += f" (given: {given!r})"
    # The last part may be pydantic's name of an alternative.
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in location
        if "[" not in str(part)
    )
    return f"{where.removeprefix('.')}: {message}" if where else message


def _keys_beside(location: tuple[object, ...]) -> list[str]:
    """Return the keys the model knows at the place of an unknown one."""
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
