"""What every step receives: settings, names, accounts, Snowflake, output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account, Accounts, retry
from bootstrap.errors import BootstrapError
from bootstrap.journal import Journal
from bootstrap.naming import Names, part_of, partition_of
from bootstrap.policies import Place

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

    from bootstrap.settings import Settings, Source
    from bootstrap.snowflake_side import SnowflakeSide


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
    """

    settings: Settings
    accounts: Accounts
    snowflake: SnowflakeSide
    say: Callable[[str], None] = _quiet
    sleep: Callable[[float], None] = time.sleep
    replace_flow_logs: bool = False

    @property
    def names(self) -> Names:
        """The names derived from the deployment's name."""
        return Names(self.settings.name, self.settings.snowflake.role_name)

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

    @property
    def bucket(self) -> dict[str, Any]:
        """The arguments of every S3 call: the bucket, and its expected owner."""
        bucket = self.settings.bucket
        return {"Bucket": bucket.name, "ExpectedBucketOwner": bucket.account_id}

    @property
    def journal(self) -> Journal:
        """The copy of the bucket policy that survives an interruption."""
        name = f"{self.settings.name}.{self.settings.bucket.name}.policy.json"
        return Journal(self.settings.state_dir / name)

    @property
    def role_arn(self) -> str:
        """The ARN of the role that Snowflake assumes."""
        account = self.settings.bucket.account_id
        return f"arn:{self.home.partition}:iam::{account}:role/{self.names.role}"

    @property
    def suffix(self) -> str:
        """The end of every delivered file's name."""
        options = self.settings.options(self.settings.sources[0])
        return ".parquet" if options.file_format == "parquet" else ".log.gz"

    def source_pairs(self) -> list[tuple[str, str]]:
        """Return every (account id, region) pair that delivers logs."""
        return [(s.account_id, r) for s in self.settings.sources for r in s.regions]

    def sources(self) -> Iterator[tuple[Source, Account]]:
        """Yield every source with the clients of each of its regions.

        Raises:
            BootstrapError: A source and the bucket are in different partitions.
        """
        for source in self.settings.sources:
            for region in source.regions:
                account = self.accounts.account(
                    source.account_id, region, source.role_arn
                )
                if account.partition != self.home.partition:
                    raise BootstrapError(
                        f"source {source.account_id} is in partition "
                        f"{account.partition}, the bucket in {self.home.partition}: "
                        "write one bootstrap.yml for each partition"
                    )
                yield source, account

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


def dumps(document: object) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"))
