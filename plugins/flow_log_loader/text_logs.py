"""Read flow logs in AWS's text format: a line of names, then a record a line.

https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from .columns import Column, MalformedError, field_name, fields_of, two_columns

SUFFIXES = (".log", ".log.gz")
GZIP_MAGIC = b"\x1f\x8b"

# Bytes of text that are in memory at once, and become one row group.
BLOCK = 16_000_000

# Snowflake's models say the same of these files: macros/snowflake/text_logs.sql.
NO_UTF8 = "not text in UTF-8"
INTEGER = "-?[0-9]+"


def read_header(path: str) -> tuple[str, ...]:
    """Return the names in the first line of a file.

    Raises:
        MalformedError: the file is not text, or has no such line.
        OSError: the disk failed, or the file is gone.
    """
    with _opened(path) as file:
        line = file.readline(1 << 16)
    try:
        text = line.decode("utf-8-sig").strip(" \r\n")
    except UnicodeDecodeError as failure:
        raise MalformedError(NO_UTF8) from failure
    if re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+Z ", text):
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
    if not all(re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name) for name in names):
        raise MalformedError("not a flow log: its first line names no fields")
    for name, count in Counter(map(field_name, names)).items():
        if count > 1:
            raise MalformedError(two_columns(name))
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
    columns = [Column(name, "VARCHAR", n) for n, name in enumerate(header)]
    fields_of(columns, fields, generic)
    names = [field_name(n) if field_name(n) in fields else n for n in header]
    schema = pa.schema(
        (name, pa.string() if fields.get(name, "varchar") == "varchar" else pa.int64())
        for name in names
    )
    refused: list[str] = []

    def refuse(row: csv.InvalidRow) -> str:
        refused.append(row.text)
        return "error"

    try:
        with pq.ParquetWriter(target, schema, compression="snappy") as out:
            with _opened(path) as file:
                file.readline()
                # A file without records is an error to pyarrow.
                if not any(line.strip() for line in file):
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
                    csv.ParseOptions(
                        delimiter=" ", quote_char=False, invalid_row_handler=refuse
                    ),
                    csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        null_values=["-"],
                        strings_can_be_null=True,
                    ),
                )
                for batch in reader:
                    out.write_batch(_typed(batch, schema))
    except pa.ArrowInvalid as failure:
        if refused:
            raise MalformedError(
                "without a field for each name in the first line: " + refused[0][:200]
            ) from failure
        if "UTF8" in str(failure):
            raise MalformedError(NO_UTF8) from failure
        raise MalformedError(str(failure).partition(": ")[2]) from failure


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the records with integers in place of text.

    pyarrow's own reader would also take `0x1F` and a tab beside the digits.

    Raises:
        MalformedError: a value is no integer of 64 bits.
    """
    columns = []
    for texts, field in zip(batch.columns, schema, strict=True):
        if field.type == pa.int64():
            is_integer = pc.match_substring_regex(texts, f"^{INTEGER}$")
            try:
                if pc.all(is_integer).as_py() is False:
                    raise pa.ArrowInvalid
                texts = pc.cast(texts, pa.int64())
            except pa.ArrowInvalid as failure:
                bad = next(filter(_is_no_integer, texts.drop_null().to_pylist()))
                raise MalformedError(
                    f"{field.name} holds {bad[:200]}, which is no integer"
                ) from failure
        columns.append(texts)
    return pa.record_batch(columns, schema=schema)


def _is_no_integer(text: str) -> bool:
    return not (
        re.fullmatch(INTEGER, text)
        and len(text) <= 20
        and -(2**63) <= int(text) < 2**63
    )


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
