"""Find the Parquet files under a location: a folder, a glob or an S3 prefix."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import boto3
import duckdb
from botocore.exceptions import BotoCoreError, ClientError

SUFFIX = ".parquet"
S3_SCHEMES = ("s3://", "s3a://", "s3n://")


class ListingError(Exception):
    """The location cannot be listed; the message says what to change."""


# A tuple with an integer for the time, so that a run over 100,000 known files takes
# less than a second.
class LogFile(NamedTuple):
    """A Parquet file of the location.

    `name` is the key below the bucket or the path below the location, so it does not
    depend on how the user writes the location. DuckDB opens `path`. `size` is in bytes,
    `modified` in microseconds since 1970 in UTC.
    """

    name: str
    path: str
    size: int
    modified: int

    @property
    def delivered(self) -> str:
        """The time in an AWS object name; empty for other names.

        In this order the records of a day land next to each other, so a query of one
        day can skip the others.
        """
        found = re.search(r"_(\d{8}T\d{4}Z)_[^/]*$", self.name)
        return found.group(1) if found else ""


def list_files(connection: duckdb.DuckDBPyConnection, location: str) -> list[LogFile]:
    """List the location's Parquet files, in any order.

    Raises:
        ListingError: the location does not exist or S3 refuses to list it.
        OSError: a folder cannot be read, or a link leads nowhere.
    """
    if location.startswith(S3_SCHEMES):
        return _list_s3(connection, location)
    return list(_list_local(location))


def in_order_of_delivery(files: list[LogFile]) -> list[LogFile]:
    """Return the files in the order in which AWS delivered them."""
    return sorted(files, key=lambda file: (file.delivered, file.name))


def escape_glob(path: str) -> str:
    """Escape a path, so that DuckDB does not read it as a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _list_local(location: str) -> Iterator[LogFile]:
    path = Path(location).expanduser()
    if path.is_dir():
        yield from _walk(path.resolve(), path.resolve())
    elif path.is_file():
        yield _local_file(path.resolve(), path.resolve().parent)
    elif glob.has_magic(location):
        # Names are relative to the folders before the first wildcard.
        fixed = path
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
        root = fixed.resolve()
        found: set[Path] = set()
        for match in glob.iglob(str(path), recursive=True):
            resolved = root / Path(match).relative_to(fixed)
            inside = _walk(resolved, root) if resolved.is_dir() else ()
            for file in inside or [_local_file(resolved, root)]:
                if file.path.endswith(SUFFIX) and Path(file.path) not in found:
                    found.add(Path(file.path))
                    yield file
    else:
        raise ListingError(
            f"VPC_FLOW_LOGS_LOCATION is '{location}', which does not exist. Set it to a"
            " folder, a glob or an s3:// prefix of Parquet files."
        )


def _walk(folder: Path, root: Path) -> Iterator[LogFile]:
    """Yield the files below a folder; a link to a folder above is not followed."""
    # Names are built while walking, and stat goes through the open folder: for 100,000
    # files, Path.relative_to would take most of the time, stat by whole paths a tenth.
    start = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    pending, seen = [(str(folder), start)], set()
    while pending:
        current, above = pending.pop()
        with _opened(current) as opened:
            status = os.fstat(opened)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(opened) as entries:
                for entry in entries:
                    name, path = above + entry.name, f"{current}/{entry.name}"
                    if entry.is_dir():
                        pending.append((path, f"{name}/"))
                    elif name.endswith(SUFFIX):
                        yield _log_file(name, path, entry.stat())


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    """Open a folder; errors about files in it name their whole path."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield opened
    except OSError as failure:
        # Relative to the folder; for the folder itself, a file descriptor or None.
        inside = failure.filename if isinstance(failure.filename, str) else ""
        failure.filename = os.path.join(folder, inside)
        raise
    finally:
        os.close(opened)


def _local_file(path: Path, root: Path) -> LogFile:
    return _log_file(path.relative_to(root).as_posix(), str(path), path.stat())


def _log_file(name: str, path: str, status: os.stat_result) -> LogFile:
    if not stat.S_ISREG(status.st_mode):
        # Reading from a pipe would wait for ever.
        raise ListingError(
            f"{path} is not a regular file; move it out of the location."
        )
    return LogFile(name, path, status.st_size, status.st_mtime_ns // 1_000)


def _list_s3(connection: duckdb.DuckDBPyConnection, location: str) -> list[LogFile]:
    bucket, _, key = location.split("://", 1)[1].partition("/")
    _connect_s3(connection, bucket)

    # Without this, DuckDB asks S3 twice more for what the listing already returned.
    connection.execute("set enable_http_metadata_cache = true")
    root = f"s3://{bucket}/"
    pattern = root + key
    if not glob.has_magic(key) and not key.endswith(SUFFIX):
        pattern = f"{pattern.rstrip('/')}/**/*{SUFFIX}"
    try:
        # Without `content` in the query, read_blob sends no request per file.
        rows = connection.execute(
            "select filename, size, epoch_us(last_modified) from read_blob($pattern)",
            {"pattern": pattern},
        ).fetchall()
    except duckdb.IOException as failure:
        if "No files found" in str(failure):
            return []
        raise
    return [
        LogFile(path[len(root) :], path, size, modified)
        for path, size, modified in rows
        if path.endswith(SUFFIX)
    ]


def _connect_s3(connection: duckdb.DuckDBPyConnection, bucket: str) -> None:
    """Let DuckDB read the bucket with the credentials that boto3 finds.

    If the profile declares a secret for the bucket, DuckDB uses that one.

    Raises:
        ListingError: there are no credentials, or they find no such bucket.
    """
    packaged = resources.files("duckdb_extension_httpfs").joinpath(
        "extensions", f"v{duckdb.__version__}", "httpfs.duckdb_extension"
    )
    if packaged.is_file():
        connection.load_extension(str(packaged))
    else:
        connection.install_extension("httpfs")
        connection.load_extension("httpfs")

    known = connection.execute(
        "select count(*) from which_secret($scope, 's3')", {"scope": f"s3://{bucket}/"}
    ).fetchone()
    if known and known[0]:
        return

    try:
        session = boto3.Session()
        region = _bucket_region(session, bucket)
        credentials = session.get_credentials()
        if credentials is None:
            raise ListingError(
                f"No AWS credentials were found to read s3://{bucket}. Set AWS_PROFILE"
                " or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        frozen = credentials.get_frozen_credentials()
        endpoint = session.client("s3", region_name=region).meta.endpoint_url
    except BotoCoreError as failure:
        raise ListingError(f"s3://{bucket} cannot be listed: {failure}") from failure

    scheme, _, host = endpoint.partition("://")
    is_aws = ".amazonaws.com" in host
    options = {
        "key_id": frozen.access_key,
        "secret": frozen.secret_key,
        "session_token": frozen.token or "",
        "region": region,
        "endpoint": host,
        "url_style": "vhost" if is_aws and "." not in bucket else "path",
        "scope": f"s3://{bucket}/",
    }
    quoted = ", ".join(
        "{} '{}'".format(key, value.replace("'", "''"))
        for key, value in options.items()
        if value
    )
    connection.execute(
        "create or replace temporary secret vpc_flow_logs"
        f" (type s3, provider config, use_ssl {scheme == 'https'}, {quoted})"
    )


def _bucket_region(session: boto3.Session, bucket: str) -> str:
    """Ask S3 for the bucket's region, which it returns even when it denies access."""
    client = session.client("s3")
    try:
        response = client.head_bucket(Bucket=bucket)
    except ClientError as failure:
        status = failure.response["ResponseMetadata"]["HTTPStatusCode"]
        headers = failure.response["ResponseMetadata"].get("HTTPHeaders", {})
        if status == 404:
            raise ListingError(f"There is no bucket s3://{bucket}.") from failure
        if "x-amz-bucket-region" not in headers:
            raise ListingError(
                f"s3://{bucket} cannot be listed: {failure}"
            ) from failure
        return str(headers["x-amz-bucket-region"])
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    own_region = client.meta.region_name or "us-east-1"
    return str(headers.get("x-amz-bucket-region", own_region))
