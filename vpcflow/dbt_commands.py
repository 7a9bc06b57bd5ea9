"""Run several dbt commands in one process, with one parse."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

#: dbt keeps every node and macro in memory; a full collection looks at all of them.
#: Fewer collections save a tenth of the CPU of a short run, for 20 MB of memory.
GARBAGE_THRESHOLDS = (200_000, 50, 50)

QUIET = ("--no-use-colors", "--log-level", "none")
FAILED = ("error", "fail", "runtime error")


class Line(NamedTuple):
    """A line that dbt would print.

    `of` is the number of nodes that the command runs, if the line starts or ends one;
    `at` is the number of that node.
    """

    text: str
    level: str
    at: int | None
    of: int | None


class NodeResult(NamedTuple):
    """What dbt did with a model, a test or a source."""

    name: str
    kind: str
    status: str
    message: str


@dataclass(frozen=True)
class Result:
    """How a dbt command ended.

    `exit_code` is that of the command `dbt`: 1 if a node failed, 2 if dbt could not run
    the command.
    """

    exit_code: int
    message: str = ""
    nodes: list[NodeResult] = field(default_factory=list)
    is_interrupted: bool = False

    def named(self, *statuses: str) -> list[str]:
        """Return the names of the nodes that ended with one of the statuses."""
        return [node.name for node in self.nodes if node.status in statuses]

    def count(self, kind: str, *statuses: str) -> int:
        """Count the nodes of a kind that ended with one of the statuses."""
        return sum(node.kind == kind and node.status in statuses for node in self.nodes)


class Dbt:
    """dbt in this process.

    Args:
        options: Options that every command gets.
        listen: Called with each line, and with every other event of dbt as well if it
            is an error or a warning.
    """

    def __init__(self, options: Sequence[str], listen: Callable[[Line], None]) -> None:
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        self._options = options
        self._listen = listen
        self._manifest: Manifest | None = None

    @property
    def adapter(self) -> str:
        """The adapter of the target: `duckdb` or `snowflake`."""
        return str(self._parsed.metadata.adapter_type)

    def relation(self, model: str) -> str:
        """Return the full name of the table or view of one of this package's models."""
        return str(self._parsed.nodes[f"model.vpc_flow_logs.{model}"].relation_name)

    def landing_tables(self) -> list[str]:
        """Return the full names of the tables that Snowpipe loads files to."""
        return [
            str(source.relation_name)
            for source in self._parsed.sources.values()
            if source.package_name == "vpc_flow_logs"
            and source.external
            and "snowpipe" in source.external.extra
        ]

    def checksum(self, words: Sequence[str]) -> str:
        """Return a checksum of the project's files, the options and further words."""
        parsed = sorted(
            f"{name} {file.checksum.checksum}"
            for name, file in self._parsed.files.items()
        )
        settings = Path("dbt_project.yml").read_text()
        read = "\n".join([*parsed, settings, *self._options, *words])
        return hashlib.sha256(read.encode()).hexdigest()

    def run(self, *words: str) -> Result:
        """Run a command of dbt.

        Args:
            words: The command and its own options. The commands after `parse` use what
                it has found.
        """
        runner = dbtRunner(manifest=self._manifest, callbacks=[self._hear])
        ended = runner.invoke([*QUIET, *words, *self._options])
        if isinstance(ended.result, Manifest):
            self._manifest = ended.result
        failure = ended.exception
        if failure is not None:
            is_interrupted = isinstance(failure, KeyboardInterrupt)
            return Result(2, one_line(failure), is_interrupted=is_interrupted)
        results = getattr(ended.result, "results", None) or []
        nodes = [_node_result(result) for result in results]
        failed = [f"{n.name}: {n.message}" for n in nodes if n.status in FAILED]
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        message = failed[0] + more if failed else ""
        return Result(0 if ended.success else 1, message, nodes)

    def close_file(self) -> None:
        """Close the DuckDB file, which dbt keeps open until the process ends."""
        if self._manifest is not None and self.adapter == "duckdb":
            from dbt.adapters.duckdb.connections import DuckDBConnectionManager

            DuckDBConnectionManager.close_all_connections()

    @property
    def _parsed(self) -> Manifest:
        assert self._manifest is not None, "run parse first"
        return self._manifest

    def _hear(self, event: Any) -> None:
        info, data = event.info, event.data
        if info.level not in ("info", "warn", "error") or not info.msg.strip():
            return
        at = getattr(data, "index", None) or None
        of = getattr(data, "total", None) or getattr(data, "num_models", None) or None
        self._listen(Line(info.msg, info.level, at, of if at else None))


def one_line(message: object) -> str:
    """Return a message of dbt without its line breaks."""
    return " ".join(str(message).split())


def _node_result(result: Any) -> NodeResult:
    node = getattr(result, "node", None)
    name = node.name if node else result.unique_id.split(".")[-1]
    message = result.message or ""
    if hasattr(result, "max_loaded_at"):
        message = f"nothing was loaded since {result.max_loaded_at:%Y-%m-%d %H:%M} UTC"
    return NodeResult(
        name=name,
        kind=str(node.resource_type) if node else "operation",
        status=str(result.status),
        message=one_line(message),
    )
