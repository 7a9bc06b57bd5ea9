"""For pipes without events: list new files, and send their names to Snowpipe.

A ledger on disk has the files that were sent; a lock allows one run at a time.
"""

from __future__ import annotations

import importlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bootstrap.bucket import state_folder
from bootstrap.changes import BootstrapError

if TYPE_CHECKING:
    from bootstrap.aws import Account
    from bootstrap.settings import Notify, Settings

# Snowflake, "Snowpipe REST API", insertFiles: at most 5,000 files a request.
REQUEST_FILES = 5000
# Too many requests. The library repeats 408 and 5xx itself, for a minute.
TRY_AGAIN = (429,)
ATTEMPTS = 5


class Hand(Protocol):
    """Sends files to Snowpipe."""

    def __call__(self, files: list[tuple[str, int]]) -> None:
        """Send (path below the stage, size in bytes) pairs.

        Raises:
            BootstrapError: Snowpipe refused them.
        """


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Args:
        handed_over: The number of files that were sent.
        left: Whether more files are left for the next run.
    """

    handed_over: int
    left: bool


def notify(
    s: Settings,
    aws: Account,
    hand: Hand,
    say: Callable[[str], None],
    now: datetime | None = None,
) -> Result:
    """Send the files that are new since the last run, up to ``notify.max_files``.

    Safe to schedule: a second run at the same time ends with an error, and the next run
    continues an interrupted one. A file may be sent twice, which Snowpipe ignores for
    14 days (Snowflake, "Troubleshooting Snowpipe").

    Args:
        s: The settings.
        aws: The bucket's account.
        hand: Sends files to Snowpipe.
        say: Shows a line of progress.
        now: The time; None for the current one.

    Raises:
        BootstrapError: Another run is active, or Snowpipe refused a batch; the ledger
            has the batches before it.
    """
    wanted = s.notify
    assert wanted is not None
    today = now or datetime.now(UTC)
    # Snowpipe takes paths relative to the stage, which is at `read_prefix`.
    start = len(s.place.read_prefix)
    handed_over, left = 0, False
    with only_one(s.state_dir / f"{s.names.key}.lock"):
        ledger = Ledger(_ledger_path(s))
        try:
            oldest = today - timedelta(days=wanted.lookback_days)
            new = (
                item
                for item in delivered(aws, s, today, wanted.lookback_days + 1)
                if item["LastModified"] >= oldest
                and not ledger.has(wanted.pipe, item["Key"])
            )
            most = islice(new, wanted.max_files)
            while batch := list(islice(most, REQUEST_FILES)):
                hand([(item["Key"][start:], item["Size"]) for item in batch])
                ledger.add(
                    wanted.pipe,
                    [
                        (i["Key"], i["LastModified"].astimezone(UTC).isoformat())
                        for i in batch
                    ],
                )
                say(f"{len(batch)} files sent to {wanted.pipe}")
                handed_over += len(batch)
            left = next(new, None) is not None
            # Two days longer than the look-back, so that no listed key is missing.
            ledger.forget_before((oldest - timedelta(days=2)).isoformat())
        finally:
            ledger.close()
    return Result(handed_over, left)


def _ledger_path(s: Settings) -> Path:
    """Return the ledger's path; the ledger of earlier versions is renamed."""
    path = s.state_dir / f"{s.names.key}.sqlite"
    earlier = path.with_name(f"{s.name}.sqlite")
    if earlier.exists() and not path.exists():
        earlier.rename(path)
    return path


def delivered(
    aws: Account, s: Settings, today: datetime, days: int
) -> Iterator[dict[str, Any]]:
    """Yield the log files of the last days, as S3 lists them.

    VPC guide, "Flow log files": a folder has the date of delivery, in UTC.

    Args:
        aws: The bucket's account.
        s: The settings.
        today: The newest day.
        days: The number of days.
    """
    for account, region in sorted(set(s.source_pairs)):
        plain, hive = s.place.folders(account)
        for back in range(days):
            day = datetime.fromordinal(today.toordinal() - back)
            folder = f"year={day:%Y}/month={day:%m}/day={day:%d}"
            for prefix in (
                f"{plain}{region}/{day:%Y/%m/%d}/",
                f"{hive}aws-region={region}/{folder}/",
            ):
                listing = aws.s3.get_paginator("list_objects_v2")
                for page in listing.paginate(**s.s3, Prefix=prefix):
                    for item in page.get("Contents", []):
                        if item["Key"].endswith(s.suffix):
                            yield {**item}


class Snowpipe:
    """``insertFiles`` through Snowflake's ingest library.

    Args:
        wanted: The section of the settings.
        say: Shows a line before each pause.
        sleep: Pauses for a number of seconds.

    Raises:
        BootstrapError: The key cannot be read.
    """

    def __init__(
        self,
        wanted: Notify,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._say, self._sleep = say, sleep
        self._wanted = wanted
        # Imported here, since only `notify` needs it. It has no types.
        self._requests: Any = importlib.import_module("requests")
        ingest: Any = importlib.import_module("snowflake.ingest")
        errors: Any = importlib.import_module("snowflake.ingest.error")
        self._ingest = ingest
        self._errors = (errors.IngestResponseError, errors.IngestClientError)
        try:
            key = wanted.private_key_path.expanduser().read_text("utf-8")
        except OSError as error:
            raise BootstrapError(f"notify.private_key_path: {error}") from None
        host = wanted.host or f"{wanted.account}.snowflakecomputing.com"
        self._manager = ingest.SimpleIngestManager(
            account=wanted.account,
            user=wanted.user,
            pipe=wanted.pipe,
            private_key=key,
            scheme=wanted.scheme,
            host=host,
            port=wanted.port,
        )
        # The library sends requests without a timeout.
        self._manager.restful._exec_request = self._send

    def __call__(self, files: list[tuple[str, int]]) -> None:
        """Send one batch; see ``Hand``."""
        staged = [self._ingest.StagedFile(path, size) for path, size in files]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._manager.ingest_files(staged)
            except self._errors as error:
                status = getattr(error, "http_error_code", None)
                if status in TRY_AGAIN and attempt < ATTEMPTS:
                    self._say(f"Snowpipe answers {status}; retry in {2**attempt} s")
                    self._sleep(2**attempt)
                    continue
                raise BootstrapError(
                    _advice(status, str(error), self._wanted)
                ) from None
            except OSError as error:
                raise BootstrapError(
                    f"Snowpipe cannot be reached: {error}\n  Check notify.account, "
                    "notify.host and the network."
                ) from None
            code = answer.get("responseCode")
            if code != "SUCCESS":
                raise BootstrapError(
                    f"pipe {self._wanted.pipe}: Snowpipe answered {code}, not SUCCESS; "
                    "the next run sends the files again"
                )
            return

    def _send(self, **request: Any) -> Any:
        return self._requests.request(timeout=self._wanted.timeout_seconds, **request)


def _advice(status: int | None, said: str, wanted: Notify) -> str:
    hints = {
        401: f"Check the key of user {wanted.user}, and notify.account.",
        403: f"Grant OPERATE and MONITOR on pipe {wanted.pipe} to user {wanted.user}.",
        404: f"Check that pipe {wanted.pipe} exists and user {wanted.user} may see it.",
    }
    hint = hints.get(status or 0, "The next run continues from here.")
    return f"Snowpipe refused the files: {said}\n  {hint}"


class Ledger:
    """The keys that were sent within the look-back.

    A key is added after Snowpipe accepts it. If a run stops in between, the next one
    sends the file again, which Snowpipe ignores for 14 days.

    Args:
        path: The SQLite database; created if missing.
    """

    def __init__(self, path: Path) -> None:
        state_folder(path.parent)
        self._database = sqlite3.connect(path)
        self._database.execute(
            "create table if not exists handed_over ("
            "pipe text not null, key text not null, modified_at text not null, "
            "primary key (pipe, key)) without rowid"
        )

    def has(self, pipe: str, key: str) -> bool:
        """Return whether the key was sent to this pipe."""
        row = self._database.execute(
            "select 1 from handed_over where pipe = ? and key = ?", (pipe, key)
        ).fetchone()
        return row is not None

    def add(self, pipe: str, files: Iterable[tuple[str, str]]) -> None:
        """Add (key, modified at) pairs, all or none."""
        with self._database:
            self._database.executemany(
                "insert or ignore into handed_over values (?, ?, ?)",
                [(pipe, key, modified_at) for key, modified_at in files],
            )

    def forget_before(self, moment: str) -> None:
        """Delete keys modified before a time, in ISO 8601 and UTC."""
        with self._database:
            self._database.execute(
                "delete from handed_over where modified_at < ?", (moment,)
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, even a killed one.

    Raises:
        BootstrapError: Another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock of a SQLite database works on every system.
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError:
        lock.close()
        raise BootstrapError(
            f"another run is active and holds {path}; wait until it ends"
        ) from None
    try:
        yield
    finally:
        lock.close()
