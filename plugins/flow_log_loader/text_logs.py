"""Read flow logs in AWS's text format: a line of names, then a record a line.

https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from .columns import MalformedError

SUFFIXES = (".log", ".log.gz")
GZIP_MAGIC = b"\x1f\x8b"

# Columns in front of the file's own, for the number of the file and of the record.
FILE_NUMBER, ROW_NUMBER = "file number", "row number"


def read_header(path: str) -> tuple[str, ...]:
    """Return the names in the first line of a file.

    Raises:
        MalformedError: the file is not text, or has no such line.
        OSError: the disk failed, or the file is gone.
    """
    with _opened(path) as file:
        line = file.readline(1 << 16)
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as failure:
        raise MalformedError("not a flow log: its first line is not text") from failure
    if re.match(r"\d{4}-\d\d-\d\dT\S+Z ", text):
        raise MalformedError(
            "an export of CloudWatch Logs: no line names its fields. Let the flow log"
            " deliver to S3"
        )
    if text.startswith(("{", "[")):
        raise MalformedError(
            "records inside JSON, as CloudWatch Logs sends them. Let the flow log"
            " deliver to S3"
        )
    names = tuple(text.split(" "))
    if not all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in names):
        raise MalformedError("not a flow log: its first line names no fields")
    return names


def number_records(path: str, number: int, target: IO[bytes]) -> None:
    """Write the records of a file, each after the number of the file and its own.

    With the numbers in the lines, DuckDB may read them in any order.

    Args:
        path: The file, compressed or not.
        number: The number of the file.
        target: Takes the lines.

    Raises:
        MalformedError: the file is damaged.
        OSError: the disk failed, or the file is gone.
    """
    before, row = b"%d " % number, 0
    with _opened(path) as file:
        file.readline()
        for line in file:
            record = line.rstrip(b"\r\n")
            if record:
                row += 1
                target.write(b"%b%d %b\n" % (before, row, record))


def explain(message: str) -> str:
    """Return what DuckDB's message says of a record; empty for other messages."""
    found = re.search(
        r"CSV Error on Line: (\d+)\n.*Expected Number of Columns: (\d+) Found: (\d+)",
        message,
        re.DOTALL,
    )
    if not found:
        return ""
    record, expected, given = map(int, found.groups())
    # Less the two numbers in front.
    return f"record {record} has {given - 2} fields and not {expected - 2}"


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    try:
        with open(path, "rb") as file:
            is_compressed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if is_compressed:
                with gzip.open(file) as text:
                    yield text
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as failure:
        raise MalformedError(f"cannot be decompressed: {failure}") from failure
