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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bootstrap.deployment import Deployment, state_folder
from bootstrap.errors import BootstrapError

if TYPE_CHECKING:
    from bootstrap.settings import Notify

# Snowflake, "Snowpipe REST API", insertFiles: at most 5,000 files a request.
REQUEST_FILES = 5000
# Too many requests. The library repeats 408 and 5xx itself, for a minute.
TRY_AGAIN = (429,)
ATTEMPTS = 5


@dataclass(frozen=True)
class NewFile:
    """A delivered file that was not sent to this pipe yet.

    Args:
        key: Its key in the bucket.
        size: In bytes.
        modified_at: ISO 8601, UTC.
    """

    key: str
    size: int
    modified_at: str


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


def notify(d: Deployment, hand: Hand, now: datetime | None = None) -> Result:
    """Send the files that are new since the last run, up to ``notify.max_files``.

    Safe to schedule: a second run at the same time ends with an error, and the next run
    continues an interrupted one. A file may be sent twice, which Snowpipe ignores for
    14 days (Snowflake, "Troubleshooting Snowpipe").

    Args:
        d: The deployment.
        hand: Sends files to Snowpipe.
        now: The time; None for the current one.

    Raises:
        BootstrapError: Another run is active, or Snowpipe refused a batch; the ledger
            has the batches before it.
    """
    wanted = d.settings.notify
    if wanted is None:
        raise BootstrapError("bootstrap.yml has no `notify` section: add it")
    today = now or datetime.now(UTC)
    state = d.settings.state_dir
    with only_one(state / f"{d.names.key}.lock"):
        ledger = Ledger(_ledger_path(d))
        try:
            oldest = today - timedelta(days=wanted.lookback_days)
            batch: list[NewFile] = []
            handed_over = 0
            left = False
            for file in _new_files(d, ledger, wanted, today, oldest):
                if handed_over + len(batch) == wanted.max_files:
                    left = True
                    break
                batch.append(file)
                if len(batch) == REQUEST_FILES:
                    handed_over += _hand_over(d, ledger, wanted, hand, batch)
                    batch = []
            handed_over += _hand_over(d, ledger, wanted, hand, batch)
            # Two days longer than the look-back, so that no listed key is missing.
            ledger.forget_before((oldest - timedelta(days=2)).isoformat())
        finally:
            ledger.close()
    return Result(handed_over, left)


def _ledger_path(d: Deployment) -> Path:
    """Return the ledger's path; the ledger of earlier versions is renamed."""
    path = d.settings.state_dir / f"{d.names.key}.sqlite"
    earlier = path.with_name(f"{d.settings.name}.sqlite")
    if earlier.exists() and not path.exists():
        earlier.rename(path)
    return path


def _new_files(
    d: Deployment, ledger: Ledger, wanted: Notify, today: datetime, oldest: datetime
) -> Iterator[NewFile]:
    """Yield the files of the look-back that are not in the ledger."""
    for prefix in day_prefixes(d, today, wanted.lookback_days + 1):
        pages = d.home.s3.get_paginator("list_objects_v2").paginate(
            **d.bucket, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Contents", []):
                fits = item["Key"].endswith(d.suffix)
                recent = item["LastModified"] >= oldest
                if fits and recent and not ledger.has(wanted.pipe, item["Key"]):
                    modified_at = item["LastModified"].astimezone(UTC).isoformat()
                    yield NewFile(item["Key"], item["Size"], modified_at)


def _hand_over(
    d: Deployment, ledger: Ledger, wanted: Notify, hand: Hand, batch: list[NewFile]
) -> int:
    if not batch:
        return 0
    start = len(d.place.read_prefix)
    # Snowpipe takes paths relative to the stage, which is at `read_prefix`.
    hand([(file.key[start:], file.size) for file in batch])
    ledger.add(wanted.pipe, [(file.key, file.modified_at) for file in batch])
    d.say(f"{len(batch)} files sent to {wanted.pipe}")
    return len(batch)


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


def day_prefixes(d: Deployment, today: datetime, days: int) -> Iterator[str]:
    """Yield the folders of the last days, in both layouts, for every source.

    VPC guide, "Flow log files".

    Args:
        d: The deployment.
        today: The newest day, in UTC; a folder has the date of delivery.
        days: The number of days.
    """
    ordinals = [today.toordinal() - back for back in range(days)]
    for account, region in sorted(set(d.source_pairs())):
        plain, hive = d.place.folders(account)
        for ordinal in ordinals:
            day = datetime.fromordinal(ordinal)
            yield f"{plain}{region}/{day:%Y/%m/%d}/"
            folder = f"year={day:%Y}/month={day:%m}/day={day:%d}"
            yield f"{hive}aws-region={region}/{folder}/"
