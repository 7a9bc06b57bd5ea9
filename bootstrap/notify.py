"""For pipes no event can reach: list new files, hand them over by REST."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError
from bootstrap.folders import day_prefixes
from bootstrap.ledger import Ledger, only_one

if TYPE_CHECKING:
    from bootstrap.settings import Notify

# Snowflake, "Snowpipe REST API", insertFiles: at most 5,000 files a request.
REQUEST_FILES = 5000
# Too many requests. The library itself tries 408 and 5xx again for a minute.
TRY_AGAIN = (429,)
ATTEMPTS = 5


@dataclass(frozen=True)
class NewFile:
    """A delivered file that Snowpipe has not been told of.

    Args:
        key: Its key in the bucket.
        size: In bytes.
        modified_at: ISO 8601, UTC.
    """

    key: str
    size: int
    modified_at: str


class Hand(Protocol):
    """Gives files to Snowpipe."""

    def __call__(self, files: list[tuple[str, int]]) -> None:
        """Hand over (path below the stage, size in bytes) pairs.

        Raises:
            BootstrapError: Snowpipe did not take them.
        """


@dataclass(frozen=True)
class Result:
    """What one run did.

    Args:
        handed_over: How many files.
        left: Whether the bound was met before the end; the next run goes on.
    """

    handed_over: int
    left: bool


def notify(d: Deployment, hand: Hand, now: datetime | None = None) -> Result:
    """Hand over what came since the last run, up to ``notify.max_files``.

    Safe to schedule: a second run beside a first one refuses, a run that was
    interrupted is taken up by the next, and a file is handed over twice at worst,
    which Snowpipe ignores for 14 days (Snowflake, "Troubleshooting Snowpipe").

    Args:
        d: The deployment.
        hand: Gives files to Snowpipe.
        now: The time, for tests.

    Raises:
        BootstrapError: Another run is at it, or Snowpipe did not take a batch; what
            it took before is kept.
    """
    wanted = d.settings.notify
    if wanted is None:
        raise BootstrapError("bootstrap.yml has no `notify` section")
    today = now or datetime.now(UTC)
    state = d.settings.state_dir / f"{d.settings.name}.notify"
    with only_one(state.with_suffix(".lock")):
        ledger = Ledger(state.with_suffix(".sqlite"))
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
            # One day more: a listing never offers a key that was forgotten.
            ledger.forget_before((oldest - timedelta(days=2)).isoformat())
        finally:
            ledger.close()
    return Result(handed_over, left)


def _new_files(
    d: Deployment, ledger: Ledger, wanted: Notify, today: datetime, oldest: datetime
) -> Iterator[NewFile]:
    """Yield files in the order of their folders: whole days, so late ones are met."""
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
    # Snowpipe wants paths relative to the stage, which is at our location.
    hand([(file.key[start:], file.size) for file in batch])
    ledger.add(wanted.pipe, [(file.key, file.modified_at) for file in batch])
    d.say(f"{len(batch)} files handed to {wanted.pipe}")
    return len(batch)


class Snowpipe:
    """``insertFiles`` through Snowflake's own ingest library.

    Args:
        wanted: The section of the settings.
        say: Told before each pause.
        sleep: Pauses, in seconds.

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
        # Loaded here, since the other commands need none of it. It publishes no types.
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
        # The library sends without a time limit and would wait for ever.
        self._manager.restful._exec_request = self._send

    def __call__(self, files: list[tuple[str, int]]) -> None:
        """Hand over one batch; see ``Hand``."""
        staged = [self._ingest.StagedFile(path, size) for path, size in files]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._manager.ingest_files(staged)
            except self._errors as error:
                status = getattr(error, "http_error_code", None)
                if status in TRY_AGAIN and attempt < ATTEMPTS:
                    self._say(f"Snowpipe answers {status}; again in {2**attempt} s")
                    self._sleep(2**attempt)
                    continue
                raise BootstrapError(
                    _advice(status, str(error), self._wanted)
                ) from None
            except OSError as error:
                raise BootstrapError(f"Snowpipe cannot be reached: {error}") from None
            code = answer.get("responseCode")
            if code != "SUCCESS":
                raise BootstrapError(f"Snowpipe answered {code}, not SUCCESS")
            return

    def _send(self, **request: Any) -> Any:
        return self._requests.request(timeout=self._wanted.timeout_seconds, **request)


def _advice(status: int | None, said: str, wanted: Notify) -> str:
    hints = {
        401: f"the key does not belong to user {wanted.user}, or the account is wrong",
        403: f"user {wanted.user} needs OPERATE and MONITOR on the pipe",
        404: f"pipe {wanted.pipe} does not exist, or its role may not see it",
        429: "too many requests; the next run goes on from here",
    }
    hint = hints.get(status or 0, "the next run goes on from here")
    return f"Snowpipe did not take the files: {said}\n  {hint}"
