"""What every step is given: settings, names, accounts and ways to speak."""

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
    """One ``bootstrap.yml``, connected.

    Args:
        settings: The checked settings.
        accounts: Finds clients.
        snowflake: Reads values from the other side.
        say: Shows progress to a person.
        sleep: Pauses, in seconds.
        replace_flow_logs: Whether a flow log that differs is deleted and made again.
    """

    settings: Settings
    accounts: Accounts
    snowflake: SnowflakeSide
    say: Callable[[str], None] = _quiet
    sleep: Callable[[float], None] = time.sleep
    replace_flow_logs: bool = False

    @property
    def names(self) -> Names:
        """All names that follow from the deployment's."""
        return Names(self.settings.name, self.settings.snowflake.role_name)

    @property
    def home(self) -> Account:
        """The bucket's account and region."""
        bucket = self.settings.bucket
        return self.accounts.account(bucket.account_id, bucket.region, bucket.role_arn)

    @property
    def place(self) -> Place:
        """Where logs are delivered."""
        bucket = self.settings.bucket
        return Place(self.home.partition, bucket.name, bucket.prefix)

    @property
    def bucket(self) -> dict[str, Any]:
        """The arguments of every S3 call: the bucket, and whose it must be."""
        bucket = self.settings.bucket
        return {"Bucket": bucket.name, "ExpectedBucketOwner": bucket.account_id}

    @property
    def journal(self) -> Journal:
        """What must not be lost when the program is interrupted."""
        name = f"{self.settings.name}.{self.settings.bucket.name}.policy.json"
        return Journal(self.settings.state_dir / name)

    @property
    def role_arn(self) -> str:
        """The ARN of the role Snowflake assumes."""
        account = self.settings.bucket.account_id
        return f"arn:{self.home.partition}:iam::{account}:role/{self.names.role}"

    @property
    def suffix(self) -> str:
        """How the names of delivered files end."""
        options = self.settings.options(self.settings.sources[0])
        return ".parquet" if options.file_format == "parquet" else ".log.gz"

    def source_pairs(self) -> list[tuple[str, str]]:
        """Return every (account id, region) that delivers."""
        return [(s.account_id, r) for s in self.settings.sources for r in s.regions]

    def sources(self) -> Iterator[tuple[Source, Account]]:
        """Yield every source in every one of its regions, with its clients.

        Raises:
            BootstrapError: A source lies in another partition than the bucket.
        """
        for source in self.settings.sources:
            for region in source.regions:
                account = self.accounts.account(
                    source.account_id, region, source.role_arn
                )
                if account.partition != self.home.partition:
                    raise BootstrapError(
                        f"source {source.account_id} is in {account.partition}, the "
                        f"bucket in {self.home.partition}: one file for each partition"
                    )
                yield source, account

    def retry(
        self, call: Callable[[], object], when: Callable[[ClientError], bool]
    ) -> object:
        """Make a call again while AWS has not seen what it depends on."""
        return retry(call, when, self.settings.wait_seconds, self.say, self.sleep)

    def check_snowflake_region(self) -> None:
        """Refuse a Snowflake account that cannot reach this partition's S3.

        Snowflake, CREATE STORAGE INTEGRATION: government and Chinese buckets only
        from an account in the same region; neither from nor to commercial regions.

        Raises:
            BootstrapError: The account is foreign, or must be named and is not.
        """
        partition = self.home.partition
        region = self.settings.snowflake.region
        if region is None:
            if partition == "aws":
                return
            raise BootstrapError(
                f"the bucket is in {partition}: give snowflake.region, as `select "
                "current_region()` shows it"
            )
        plain = region.lower().rpartition(".")[2].replace("_", "-")
        plain = plain.removeprefix("aws-")
        special = plain.startswith(("us-gov-", "cn-", "azure-usgov"))
        if partition == "aws":
            foreign = special
        else:
            # Government regions have several deployments, such as `…_FHPLUS`.
            wanted = self.settings.bucket.region
            foreign = plain != wanted and not plain.startswith(f"{wanted}-")
        if foreign:
            raise BootstrapError(
                f"Snowflake in {region} cannot use a bucket in {partition}, region "
                f"{self.settings.bucket.region}: both must be in the same region there"
            )

    def check_partition(self, arn: str, what: str) -> None:
        """Refuse an ARN of Snowflake's that lies in another partition.

        Raises:
            BootstrapError: It does; no trust or event crosses partitions.
        """
        if partition_of(arn) != self.home.partition:
            raise BootstrapError(
                f"{what} {arn} is in {partition_of(arn)}, the bucket in "
                f"{self.home.partition}: a Snowflake account there is needed"
            )

    def check_region(self, arn: str, what: str) -> None:
        """Refuse a queue or topic outside the bucket's region.

        S3 guide, "Supported event destinations".

        Raises:
            BootstrapError: It lies elsewhere.
        """
        if part_of(arn, 3) != self.settings.bucket.region:
            raise BootstrapError(
                f"{what} {arn} is not in the bucket's region "
                f"{self.settings.bucket.region}: S3 refuses it"
            )


def dumps(document: object) -> str:
    """Return a document as compact JSON, as AWS stores it."""
    return json.dumps(document, separators=(",", ":"))
