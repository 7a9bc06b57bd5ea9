"""Files behind a stage: ``s3://`` through boto3, ``file://`` from a folder.

sf:user-guide/querying-metadata: METADATA$FILENAME of an S3 object is its key, without
the bucket and without a leading slash; row numbers start at 1. A ``file://`` external
stage does not exist in Snowflake: it stands for a bucket, so the file name is the path
below the folder. sf:sql-reference/sql/copy-into-table: a Parquet row becomes one object
in ``$1``; without the vectorised scanner absent values are omitted; binary columns are
text by default. Hive-style folders add no keys. Only Parquet is modelled.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import duckdb
import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from integration_tests.snowflake_stand_in.account import Account
from integration_tests.snowflake_stand_in.errors import SqlError


@dataclass(frozen=True)
class File:
    """One file of a location."""

    url: str
    key: str
    size: int
    md5: str
    last_modified: datetime


def client(account: Account, service: str, region: str | None = None) -> Any:
    """A boto3 client for the emulated AWS, with its meaningless credentials."""
    if not account.s3_endpoint:
        raise SqlError(
            "the stand-in was started without an S3 endpoint", 91003, "55000"
        )
    return boto3.client(
        service,
        endpoint_url=account.s3_endpoint,
        region_name=region or "us-east-1",
        aws_access_key_id="stand-in",
        aws_secret_access_key="stand-in",
    )


def region_of(account: Account, bucket: str) -> str:
    """The region of a bucket; us-east-1 when nobody can say."""
    if not account.s3_endpoint:
        return "us-east-1"
    try:
        answer = client(account, "s3").get_bucket_location(Bucket=bucket)
    except ClientError:
        return "us-east-1"
    return answer.get("LocationConstraint") or "us-east-1"


def files(account: Account, root: str, path: str = "") -> list[File]:
    """Every file whose URL begins with ``root`` + ``path``, at any depth."""
    found = _s3 if root.startswith("s3://") else _local
    return [
        File(f.url, f.key, f.size, f.md5, account.last_modified[f.url])
        if f.url in account.last_modified
        else f
        for f in found(account, root, path)
    ]


def _s3(account: Account, root: str, path: str) -> list[File]:
    url = urlparse(root)
    prefix = url.path.removeprefix("/") + path
    pages = client(account, "s3").get_paginator("list_objects_v2")
    try:
        return [
            File(
                f"s3://{url.netloc}/{item['Key']}",
                item["Key"],
                item["Size"],
                item["ETag"].strip('"'),
                item["LastModified"],
            )
            for page in pages.paginate(Bucket=url.netloc, Prefix=prefix)
            for item in page.get("Contents", [])
        ]
    except (BotoCoreError, ClientError) as error:
        message = f"Failure using stage area. Cause: [{error}]"
        raise SqlError(message, 91003, "55000") from error


def _local(_account: Account, root: str, path: str) -> list[File]:
    folder = Path(urlparse(root).path)
    found = []
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        key = file.relative_to(folder).as_posix()
        if key.startswith(path):
            stat = os.stat(file)
            md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
            modified = datetime.fromtimestamp(int(stat.st_mtime), UTC)
            found.append(File(f"file://{file}", key, stat.st_size, md5, modified))
    return found


def parquet_rows(account: Account, file: File, *, keep_nulls: bool) -> list[str]:
    """The rows of a Parquet file, each as the JSON text of its ``$1``."""
    url = urlparse(file.url)
    with tempfile.TemporaryDirectory() as folder:
        local = url.path
        if url.scheme == "s3":
            local = f"{folder}/file.parquet"
            client(account, "s3").download_file(url.netloc, file.key, local)
        row = "to_json(t)" if keep_nulls else "json_merge_patch('{}', to_json(t))"
        with duckdb.connect() as reader:
            try:
                reader.execute(
                    f"select {row} from read_parquet($file, binary_as_string=true,"
                    " hive_partitioning=false) as t",
                    {"file": local},
                )
                return [value for (value,) in reader.fetchall()]
            except duckdb.Error as error:
                cause = str(error).split("\n")[0].replace(local, file.key)
                message = f"Error parsing the parquet file: {cause} File '{file.key}'"
                raise SqlError(message, 100069, "22P02") from error


def stage_table(
    found: list[tuple[File, list[str]]], started: datetime
) -> dict[str, pa.Array]:
    """The columns that a stage offers to a query: ``$1`` and the metadata."""
    rows = [
        (text, file, number)
        for file, texts in found
        for number, text in enumerate(texts, 1)
    ]
    utc = [
        file.last_modified.astimezone(UTC).replace(tzinfo=None) for _, file, _ in rows
    ]
    zoned = pa.timestamp("us", tz="UTC")
    return {
        "$1": pa.array([text for text, _, _ in rows], pa.string()),
        "METADATA$FILENAME": pa.array([file.key for _, file, _ in rows], pa.string()),
        "METADATA$FILE_ROW_NUMBER": pa.array([n for *_, n in rows], pa.int64()),
        "METADATA$FILE_CONTENT_KEY": pa.array([f.md5 for _, f, _ in rows], pa.string()),
        "METADATA$FILE_LAST_MODIFIED": pa.array(utc, pa.timestamp("us")),
        "METADATA$START_SCAN_TIME": pa.array([started] * len(rows), zoned),
    }
