"""What every step receives: settings, names, accounts, Snowflake, output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from bootstrap.aws import Account, Accounts, Shared, retry
from bootstrap.changes import Change
from bootstrap.errors import (
    DENIED_FILE,
    BootstrapError,
    encoded_message,
    explain,
    explain_failure,
)
from bootstrap.naming import Names, part_of, partition_of, partition_of_region
from bootstrap.policies import Place, Senders

if TYPE_CHECKING:
    from bootstrap.settings import Settings, Source
    from bootstrap.snowflake import SnowflakeSide


FAILURES = (ClientError, BotoCoreError, BootstrapError, OSError)


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True)
class Deployment:
    """The settings of one ``bootstrap.yml``, with access to both sides.

    Args:
        settings: The validated settings.
        accounts: Returns the clients of an account.
        snowflake: The Snowflake side.
        say: Shows a line of progress.
        sleep: Pauses for a number of seconds.
        replace_flow_logs: Whether to replace our flow logs that differ.
        known: What was found once and does not change while the program runs.
    """

    settings: Settings
    accounts: Accounts
    snowflake: SnowflakeSide
    say: Callable[[str], None] = _quiet
    sleep: Callable[[float], None] = time.sleep
    replace_flow_logs: bool = False
    known: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """The names that follow from name, bucket and prefix."""
        bucket = self.settings.bucket
        role_name = self.settings.snowflake.role_name
        return Names(self.settings.name, bucket.name, bucket.prefix, role_name)

    @property
    def home(self) -> Account:
        """The bucket's account and region."""
        bucket = self.settings.bucket
        return self.accounts.account(bucket.account_id, bucket.region, bucket.role_arn)

    @property
    def place(self) -> Place:
        """The bucket and prefix that logs are delivered to."""
        bucket = self.settings.bucket
        return Place(self.home.partition, bucket.name, bucket.prefix)

    def earlier(self) -> Deployment | None:
        """Return the deployment at the place before it moved, or None."""
        moved = self.settings.bucket.moved_from
        if moved is None:
            return None
        here = self.settings.bucket
        before = {"name": moved.name or here.name, "prefix": moved.prefix}
        bucket = here.model_copy(update={**before, "moved_from": None, "create": False})
        settings = self.settings.model_copy(update={"bucket": bucket})
        return replace(self, settings=settings, known={})

    @property
    def places(self) -> list[Place]:
        """The place of the logs, and the one before if they move."""
        earlier = self.earlier()
        return [self.place, *([earlier.place] if earlier else [])]

    @property
    def bucket(self) -> dict[str, Any]:
        """The arguments of every S3 call: the bucket, and its expected owner."""
        bucket = self.settings.bucket
        return {"Bucket": bucket.name, "ExpectedBucketOwner": bucket.account_id}

    @property
    def senders(self) -> Senders:
        """The accounts and regions that deliver."""
        return Senders(self.source_pairs(), self.settings.organization_id)

    @property
    def suffix(self) -> str:
        """The end of every delivered file's name."""
        options = self.settings.options(self.settings.sources[0])
        return ".parquet" if options.file_format == "parquet" else ".log.gz"

    def source_pairs(self) -> list[tuple[str, str]]:
        """Return every (account id, region) pair that delivers logs."""
        return [(s.account_id, r) for s in self.settings.sources for r in s.regions]

    def account_of(self, source: Source, region: str) -> Account:
        """Return the clients for a source in one of its regions.

        Raises:
            BootstrapError: A source and the bucket are in different partitions.
        """
        partition = partition_of_region(region)
        if partition != self.home.partition:
            raise BootstrapError(
                f"source {source.account_id} is in partition {partition}, the bucket "
                f"in {self.home.partition}: write one bootstrap.yml for each partition"
            )
        return self.accounts.account(source.account_id, region, source.role_arn)

    @contextmanager
    def visiting(self, source: Source, region: str) -> Iterator[Account]:
        """Give the clients for a source in a region, and free them afterwards."""
        account = self.account_of(source, region)
        try:
            yield account
        finally:
            if account is not self.home:
                self.accounts.forget(account)

    def source_regions(self) -> Iterator[tuple[str, str, list[Source]]]:
        """Yield each account and region once, with all its sources."""
        found: dict[tuple[str, str], list[Source]] = {}
        for source in self.settings.sources:
            for region in source.regions:
                found.setdefault((source.account_id, region), []).append(source)
        for (account_id, region), sources in found.items():
            yield account_id, region, sources

    def attempt(
        self,
        what: str,
        call: Callable[[], Iterable[Change]],
        account_id: str = "",
        region: str = "",
    ) -> list[Change]:
        """Return the changes that a call lists, or one that says why it failed.

        Args:
            what: What the call is about, for the message.
            call: Lists changes.
            account_id: The account; without it, the bucket's.
            region: The region; without it, the bucket's.
        """
        bucket = self.settings.bucket
        place = account_id or bucket.account_id, region or bucket.region
        try:
            return [change.at(*place) for change in call()]
        except FAILURES as error:
            failed = Change("failed", what, str(self.explained(error, what)))
            return [failed.at(*place)]

    def explained(self, error: Exception, what: str) -> BootstrapError:
        """Return an error of AWS's or ours with its resource and the next step."""
        if isinstance(error, ClientError):
            if encoded_message(error):
                # Hundreds of characters, which only a call to STS makes readable.
                folder = state_folder(self.settings.state_dir)
                (folder / DENIED_FILE).write_text(encoded_message(error), "utf-8")
            named = self.accounts.last_resource
            resource = f"{named} ({what})" if named else what
            return explain(error, resource, self.accounts.last_place)
        if isinstance(error, BotoCoreError):
            return explain_failure(error, what)
        return error if isinstance(error, BootstrapError) else BootstrapError(error)

    def edit(self, shared: Shared, change: Callable[[Any], Any]) -> None:
        """Change a document that others change too."""
        shared.edit(change, self.retry)

    def retry(
        self, call: Callable[[], object], when: Callable[[ClientError], bool]
    ) -> object:
        """Repeat a call until AWS has processed an earlier change."""
        return retry(call, when, self.settings.wait_seconds, self.say, self.sleep)

    def check_snowflake_region(self) -> None:
        """Check that the Snowflake account can read buckets of this partition.

        Snowflake, CREATE STORAGE INTEGRATION: buckets in government and Chinese
        regions need an account in the same region; accounts there read no others.

        Raises:
            BootstrapError: It cannot, or ``snowflake.region`` is missing.
        """
        partition = self.home.partition
        region = self.settings.snowflake.region
        if region is None:
            if partition == "aws":
                return
            raise BootstrapError(
                f"bucket {self.settings.bucket.name} is in {partition}: set "
                "snowflake.region to the result of `select current_region()`"
            )
        plain = region.lower().rpartition(".")[2].replace("_", "-")
        plain = plain.removeprefix("aws-")
        special = plain.startswith(("us-gov-", "cn-", "azure-usgov"))
        if partition == "aws":
            foreign = special
        else:
            # Government regions have variants, such as `…_FHPLUS`.
            wanted = self.settings.bucket.region
            foreign = plain != wanted and not plain.startswith(f"{wanted}-")
        if foreign:
            raise BootstrapError(
                f"Snowflake in {region} cannot read bucket "
                f"{self.settings.bucket.name} in {self.settings.bucket.region}: in "
                "government and Chinese regions both must be in the same region"
            )

    def check_partition(self, arn: str, what: str) -> None:
        """Check that an ARN of Snowflake's is in the bucket's partition.

        Raises:
            BootstrapError: It is not; neither trust nor events cross partitions.
        """
        if partition_of(arn) != self.home.partition:
            raise BootstrapError(
                f"{what} {arn} is in partition {partition_of(arn)}, bucket "
                f"{self.settings.bucket.name} in {self.home.partition}: use a "
                f"Snowflake account in {self.home.partition}"
            )

    def check_region(self, arn: str, what: str) -> None:
        """Check that a queue or topic is in the bucket's region.

        S3 guide, "Supported event destinations".

        Raises:
            BootstrapError: It is in another region.
        """
        if part_of(arn, 3) != self.settings.bucket.region:
            raise BootstrapError(
                f"{what} {arn} is not in the region of bucket "
                f"{self.settings.bucket.name}, {self.settings.bucket.region}: S3 "
                "notifies destinations in its region only; use one there, or set "
                "events.route: none and schedule `notify`"
            )


def state_folder(folder: Path) -> Path:
    """Return the folder for the program's own files, which git ignores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def dumps(document: object) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"))
