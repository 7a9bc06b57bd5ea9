"""List and download the objects of an S3 bucket, with AWS's usual credentials."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

SCHEMES = ("s3://", "s3a://", "s3n://")

# Objects that are downloaded at the same time.
DOWNLOADS = 16

# Errors of a request for an object that say something about all objects.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
OF_ALL_OBJECTS = {
    "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidSecurity", "InvalidToken", "NoSuchBucket", "NotSignedUp",
    "PermanentRedirect", "RequestExpired", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "SlowDown", "TokenRefreshRequired",
}  # fmt: skip


class S3Error(Exception):
    """What concerns all objects: no network, no credentials, no bucket."""


class ObjectError(Exception):
    """One object cannot be read; the message says why and what to do."""


class DeniedError(ObjectError):
    """Nobody may read it, or not with these credentials."""


class ChangedError(Exception):
    """An object is another one than the listing has shown."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of a URI; the bucket may be an access point's ARN."""
    rest = uri.split("://", 1)[1]
    found = re.match(r"(arn:[^/]*:accesspoint[/:][^/]+|[^/]*)/?(.*)", rest, re.DOTALL)
    assert found
    return found[1], found[2]


def is_access_point(bucket: str) -> bool:
    """Return whether a bucket's name is the ARN or the alias of an access point."""
    return bucket.startswith("arn:") or bucket.endswith(("-s3alias", "--ol-s3"))


class Bucket:
    """A bucket, or an access point by its alias or ARN.

    Args:
        name: Its name.
        requester_pays: Whether to pay for the requests.

    Raises:
        S3Error: there are no credentials, or the configuration is wrong.
    """

    def __init__(self, name: str, requester_pays: bool = False) -> None:
        self.name = name
        self._options = {"RequestPayer": "requester"} if requester_pays else {}
        config = Config(max_pool_connections=DOWNLOADS)
        with _listing(name):
            self._client: Any = boto3.Session().client("s3", config=config)

    def objects(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """Yield key, bytes and microseconds since 1970 of each object.

        Raises:
            S3Error: S3 does not list them; the message says what to do.
        """
        pages = self._client.get_paginator("list_objects_v2")
        with _listing(self.name):
            for page in pages.paginate(
                Bucket=self.name, Prefix=prefix, **self._options
            ):
                for item in page.get("Contents", ()):
                    modified = int(item["LastModified"].timestamp()) * 1_000_000
                    yield item["Key"], item["Size"], modified

    def has_below(self, key: str) -> bool:
        """Return whether an object has this key, or is below it as below a folder."""
        with _listing(self.name):
            found = self._client.list_objects_v2(
                Bucket=self.name, Prefix=key, MaxKeys=1, **self._options
            )
        return any(
            item["Key"].removeprefix(key)[:1] in ("", "/") or key.endswith("/")
            for item in found.get("Contents", ())
        )

    def download(
        self, objects: Iterable[tuple[str, int, int, str]]
    ) -> list[Exception | None]:
        """Download objects, several at a time.

        Args:
            objects: Of each, key, bytes and microseconds as listed, and the local path
                to write.

        Returns:
            For each object in order, None, or the ObjectError or ChangedError that
            keeps it from being read.

        Raises:
            S3Error: the network or the credentials failed.
            OSError: the disk failed.
        """
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            return list(pool.map(self._try_one, objects))

    def _try_one(self, wanted: tuple[str, int, int, str]) -> Exception | None:
        try:
            self._one(*wanted)
        except (ObjectError, ChangedError) as failure:
            return failure
        return None

    def _one(self, key: str, size: int, modified: int, path: str) -> None:
        try:
            answer = self._client.get_object(Bucket=self.name, Key=key, **self._options)
            listed = answer["ContentLength"], int(answer["LastModified"].timestamp())
            if listed != (size, modified // 1_000_000):
                raise ChangedError
            with open(path, "wb") as file:
                shutil.copyfileobj(answer["Body"], file, 1 << 20)
        except ClientError as failure:
            raise _explained(failure) from failure
        except BotoCoreError as failure:
            raise S3Error(f"s3://{self.name} cannot be read: {failure}") from failure
        if os.path.getsize(path) != size:
            raise OSError(errno.EIO, "the download is incomplete", path)


@contextmanager
def _listing(bucket: str) -> Iterator[None]:
    """Turn what boto3 raises in a block into one sentence."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as failure:
        raise S3Error(
            f"No AWS credentials were found to read s3://{bucket}. Set AWS_PROFILE or"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from failure
    except ClientError as failure:
        if failure.response["Error"].get("Code") in ("NoSuchBucket", "404"):
            raise S3Error(f"There is no bucket s3://{bucket}.") from failure
        hint = ""
        if failure.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            hint = (
                ". The identity needs s3:ListBucket and s3:GetObject. If the requester"
                " pays for the bucket, set the variable s3_requester_pays"
            )
        raise S3Error(f"s3://{bucket} cannot be listed: {failure}{hint}") from failure
    except (BotoCoreError, ValueError) as failure:
        raise S3Error(f"s3://{bucket} cannot be listed: {failure}") from failure


def _explained(failure: ClientError) -> Exception:
    """Return the error for an object that S3 does not give, with what to do."""
    status = failure.response["ResponseMetadata"]["HTTPStatusCode"]
    code = failure.response["Error"].get("Code", "")
    said = failure.response["Error"].get("Message", "")
    if status >= 500 or code in OF_ALL_OBJECTS:
        return S3Error(f"S3 does not answer: {failure}")
    if code == "InvalidObjectState":
        return ObjectError(f"archived ({code}): restore it in S3")
    if code in ("NoSuchKey", "404"):
        return ObjectError("gone since the listing")
    if "kms" in f"{code} {said}".lower():
        return DeniedError(f"encrypted with a key that may not be used: {said}")
    if status in (401, 403):
        return DeniedError(
            f"denied ({code}): allow s3:GetObject on it, and kms:Decrypt on its key"
        )
    return ObjectError(f"S3 does not give it ({code}): {said}")
