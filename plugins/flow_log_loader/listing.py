"""Find the flow-log files under a location: a folder, a glob or an S3 prefix.

Names that begin with `_` or `.`, of files or of folders below the location, are no
data: Spark and Hive write there what is not finished.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import s3, text_logs

SUFFIX = ".parquet"
SUFFIXES = (SUFFIX, *text_logs.SUFFIXES)

# https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
AWS_NAME = re.compile(
    r"([^_/]+_vpcflowlogs_[^_/]+_fl-[^_/]+_(\d{8}T\d{4}Z)_[^_./]+)(?:\.[^/]*)?$"
)


class ListingError(Exception):
    """The location cannot be listed; the message says what to change."""


# A tuple with an integer for the time, so that a run over 100,000 known files takes
# less than a second.
class LogFile(NamedTuple):
    """A file of the location.

    `path` is its identity: the whole path, links resolved, or the whole S3 URI. `name`
    is the key below the bucket or the path below the location. `size` is in bytes,
    `modified` in microseconds since 1970 in UTC. `fault` says why it cannot be read, if
    the listing shows that.
    """

    name: str
    path: str
    size: int
    modified: int
    fault: str = ""

    @property
    def is_text(self) -> bool:
        """Whether the file has AWS's text format."""
        return self.path.lower().endswith(text_logs.SUFFIXES)

    @property
    def delivered(self) -> str:
        """The time in an AWS object name; empty for other names.

        In this order the records of a day land next to each other, so a query of one
        day can skip the others.
        """
        found = AWS_NAME.search(self.path)
        return found[2] if found else ""

    @property
    def delivery(self) -> str:
        """What AWS's own name says: account, flow log, time and hash, unique together.

        Two files with the same one are copies of each other, wherever they are. Empty
        for other names.
        """
        found = AWS_NAME.search(self.path)
        return found[1] if found else ""


class Listing(NamedTuple):
    """The files of a location, in any order, and what else is there.

    `passed_over` counts the other files by kind.
    """

    files: list[LogFile]
    passed_over: Counter[str]


def list_files(location: str, requester_pays: bool = False) -> Listing:
    """List the location's files.

    Args:
        location: A folder, a file, a glob or an `s3://` URI of these.
        requester_pays: Whether to pay for the requests to the bucket.

    Raises:
        ListingError: the location does not exist or S3 refuses to list it.
        OSError: the location's own folder cannot be read.
    """
    passed_over: Counter[str] = Counter()
    if not location:
        raise ListingError(
            "VPC_FLOW_LOGS_LOCATION is not set. Set it to a folder, a glob or an"
            " s3:// prefix of flow logs. `make demo` loads sample logs."
        )
    if location.startswith(s3.SCHEMES):
        found = _list_s3(location, passed_over, requester_pays)
    else:
        found = _list_local(location, passed_over)
    # By path, since links may lead to one file in several ways.
    return Listing(list({file.path: file for file in found}.values()), passed_over)


def in_order_of_delivery(files: Sequence[LogFile]) -> list[LogFile]:
    """Return the files in the order in which AWS delivered them."""
    return sorted(files, key=lambda file: (file.delivered, file.name))


def escape_glob(path: str) -> str:
    """Escape a path, so that DuckDB does not read it as a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def root_of(location: str) -> str:
    """Return the folder, file or URI that all files of a location are in, normalised.

    A glob's root is the folder before its first wildcard. The location need not exist
    any more.
    """
    if location.startswith(s3.SCHEMES):
        bucket, key = s3.split_uri(location)
        return f"s3://{bucket}/{_fixed_part(key)}".rstrip("/")
    path = Path(location).expanduser()
    if not path.exists():
        while glob.has_magic(str(path)):
            path = path.parent
    return os.path.realpath(path)


def is_within(root: str, other: str) -> bool:
    """Return whether a root is another one or inside it."""
    return root == other or root.startswith(other.rstrip("/") + "/")


def is_beside(root: str, other: str) -> bool:
    """Return whether two roots belong to one tree, of which neither is the sample.

    That is two folders of one folder or prefix, such as `prod` and `dev`, or one prefix
    of two buckets. An access point may be another name of the same bucket.
    """
    if _is_sample(root) or _is_sample(other):
        return False
    if root.startswith(s3.SCHEMES) and other.startswith(s3.SCHEMES):
        (bucket, key), (other_bucket, other_key) = map(s3.split_uri, (root, other))
        if bucket != other_bucket and any(
            map(s3.is_access_point, (bucket, other_bucket))
        ):
            return False
        if key == other_key:
            return True
    return os.path.dirname(root) == os.path.dirname(other)


def _is_sample(root: str) -> bool:
    """Return whether `sample_logs` wrote the folder."""
    return os.path.exists(os.path.join(root, "truth.json"))


def path_in(location: str, name: str) -> str:
    """Return the path of a file that was found under a location by this name."""
    if location.startswith(s3.SCHEMES):
        return f"s3://{s3.split_uri(location)[0]}/{name}"
    root = root_of(location)
    if os.path.basename(root) == name and not os.path.isdir(root):
        return root
    return os.path.realpath(os.path.join(root, name))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is no data."""
    return name[:1] in ("_", ".")


def _is_flow_log(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _kind(name: str) -> str:
    """Return the kind of a file that is passed over: its extension, mostly."""
    if is_hidden(name):
        return "_ or . in front"
    found = re.search(r"\.[a-z0-9]{1,8}$", name.lower())
    return found[0] if found else "no extension"


def _list_local(location: str, passed_over: Counter[str]) -> Iterator[LogFile]:
    path = Path(location).expanduser()
    if path.is_dir():
        root = os.path.realpath(path)
        yield from _walk(root, "", passed_over)
    elif path.is_file():
        yield _log_file(path.name, str(path))
    elif glob.has_magic(location):
        # Names are relative to the folders before the first wildcard.
        fixed = path
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
        walked: set[Path] = set()
        for match in map(Path, sorted(glob.glob(str(path), recursive=True))):
            name = match.relative_to(fixed).as_posix()
            if walked.intersection(match.parents):
                continue
            if name != "." and any(map(is_hidden, name.split("/"))):
                passed_over[_kind("_")] += 1
            elif match.is_dir():
                walked.add(match)
                above = "" if name == "." else f"{name}/"
                yield from _walk(os.path.realpath(match), above, passed_over)
            elif _is_flow_log(name):
                yield _log_file(name, str(match))
            else:
                passed_over[_kind(match.name)] += 1
    else:
        raise ListingError(
            f"VPC_FLOW_LOGS_LOCATION is '{location}', which does not exist. Set it to a"
            " folder, a glob or an s3:// prefix of flow logs."
        )


def _walk(folder: str, above: str, passed_over: Counter[str]) -> Iterator[LogFile]:
    """Yield the files below a folder; a link to a folder above is not followed.

    Args:
        folder: Its whole path, links resolved.
        above: What the names of its files begin with.
        passed_over: Takes what is no flow log.

    Raises:
        OSError: the folder itself cannot be read.
    """
    # Names are built while walking, and stat goes through the open folder: for 100,000
    # files, Path.relative_to would take most of the time, stat by whole paths a tenth.
    start, pending, seen = folder, [(folder, above)], set()
    while pending:
        current, above = pending.pop()
        try:
            with _opened(current) as opened:
                status = os.fstat(opened)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(opened) as entries:
                    for entry in entries:
                        name, path = above + entry.name, f"{current}/{entry.name}"
                        if is_hidden(entry.name):
                            passed_over[_kind(entry.name)] += 1
                        elif entry.is_symlink():
                            if os.path.isdir(path):
                                pending.append((os.path.realpath(path), f"{name}/"))
                            elif _is_flow_log(name):
                                yield _log_file(name, path)
                            else:
                                passed_over[_kind(entry.name)] += 1
                        elif entry.is_dir():
                            pending.append((path, f"{name}/"))
                        elif _is_flow_log(name):
                            yield _with_status(name, path, entry)
                        else:
                            passed_over[_kind(entry.name)] += 1
        except OSError as failure:
            if current == start:
                raise
            yield _faulty(above, current, f"cannot be listed: {failure.strerror}")


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield opened
    finally:
        os.close(opened)


def _log_file(name: str, path: str) -> LogFile:
    return _with_status(name, os.path.realpath(path), Path(path))


def _with_status(name: str, path: str, entry: os.DirEntry[str] | Path) -> LogFile:
    if not name.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            return _faulty(name, path, "its name is not UTF-8; rename it")
    try:
        status = entry.stat()
    except OSError as failure:
        what = (
            "is a link that leads nowhere; remove it"
            if failure.errno in (errno.ENOENT, errno.ELOOP)
            else f"cannot be read: {failure.strerror}"
        )
        return _faulty(name, path, what)
    if not stat.S_ISREG(status.st_mode):
        # Reading from a pipe would wait for ever.
        return _faulty(name, path, "is not a regular file; move it out of the location")
    return LogFile(name, path, status.st_size, status.st_mtime_ns // 1_000)


def _faulty(name: str, path: str, fault: str) -> LogFile:
    name, path = (
        text.encode(errors="backslashreplace").decode() for text in (name, path)
    )
    return LogFile(name, path, 0, 0, fault)


def _list_s3(
    location: str, passed_over: Counter[str], requester_pays: bool
) -> Iterator[LogFile]:
    bucket_name, key = s3.split_uri(location)
    try:
        bucket = s3.Bucket(bucket_name, requester_pays)
        patterns: list[str] | None = None
        if glob.has_magic(key) and not bucket.has_below(key):
            patterns = key.rstrip("/").split("/")
            prefix = _fixed_part(key)
        else:
            # A folder's name may end like a file's.
            prefix = key.rstrip("/")
            prefix += "/" if prefix and not _is_flow_log(prefix) else ""
        for found, size, modified in bucket.objects(prefix):
            if not (
                _matches(found.split("/"), patterns)
                if patterns
                else is_within(found, prefix.rstrip("/")) or not prefix
            ):
                continue
            folders, _, name = found[len(_folder(prefix)) :].rpartition("/")
            if any(is_hidden(part) for part in (*folders.split("/"), name)):
                passed_over[_kind("_")] += 1
            elif _is_flow_log(name):
                yield LogFile(found, f"s3://{bucket_name}/{found}", size, modified)
            elif name:
                passed_over[_kind(name)] += 1
    except s3.S3Error as failure:
        raise ListingError(str(failure)) from failure


def _folder(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _fixed_part(key: str) -> str:
    """Return the folders of a key before its first wildcard, and the last slash."""
    if not glob.has_magic(key):
        return key
    parts = key.split("/")
    fixed = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return "".join(f"{part}/" for part in parts[:fixed])


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a key, or a folder that it is in, matches, as Python's `glob` does it.

    Args:
        parts: The key, split at each slash.
        patterns: The pattern, split likewise; `**` is any number of folders.
    """
    if not patterns:
        return True
    if patterns[0] == "**":
        return _matches(parts, patterns[1:]) or (
            bool(parts) and _matches(parts[1:], patterns)
        )
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], patterns[0])
        and _matches(parts[1:], patterns[1:])
    )
