"""Read flow logs in AWS's text format: a line of names, then a record a line.

https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from .columns import Column, MalformedError, field_name, fields_of

SUFFIXES = (".log", ".log.gz")
GZIP_MAGIC = b"\x1f\x8b"

# Bytes of text that are in memory at once, and become one row group.
BLOCK = 16_000_000


def read_header(path: str) -> tuple[str, ...]:
    """Return the names in the first line of a file.

    Raises:
        MalformedError: the file is not text, or has no such line.
        OSError: the disk failed, or the file is gone.
    """
    with _opened(path) as file:
        line = file.readline(1 << 16)
    try:
        text = line.decode("utf-8-sig").strip()
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


def convert(
    path: str, target: str, fields: Mapping[str, str], generic: Collection[str]
) -> None:
    """Write the records of a text file as Parquet, with the types of AWS's own.

    Args:
        path: The file, compressed or not.
        target: The Parquet file to write.
        fields: The fields of the format with their types.
        generic: The fields that other kinds of files have as well.

    Raises:
        MalformedError: the file is damaged, or not a flow log.
        OSError: the disk failed, or the file is gone.
    """
    header = read_header(path)
    fields_of([Column(name, "VARCHAR") for name in header], fields, generic)
    names = [field_name(n) if field_name(n) in fields else n for n in header]
    types = {
        name: pa.string() if fields.get(name, "varchar") == "varchar" else pa.int64()
        for name in names
    }
    try:
        with _opened(path) as file:
            file.readline()
            # A file without records is an error to pyarrow.
            if not any(line.strip() for line in file):
                pq.write_table(pa.schema(types.items()).empty_table(), target)
                return
        with _opened(path) as file:
            reader = csv.open_csv(
                pa.PythonFile(file, mode="r"),
                csv.ReadOptions(
                    use_threads=False,
                    block_size=BLOCK,
                    skip_rows=1,
                    column_names=names,
                ),
                csv.ParseOptions(delimiter=" ", quote_char=False),
                csv.ConvertOptions(
                    column_types=types, null_values=["-"], strings_can_be_null=True
                ),
            )
            with pq.ParquetWriter(target, reader.schema, compression="snappy") as out:
                for batch in reader:
                    out.write_batch(batch)
    except pa.ArrowInvalid as failure:
        raise MalformedError(str(failure).partition(": ")[2]) from failure


@contextmanager
def _opened(path: str) -> Iterator[Any]:
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
