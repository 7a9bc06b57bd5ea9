"""Sessions and clients for each account and region."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError

from bootstrap.changes import BootstrapError
from bootstrap.naming import part_of
from bootstrap.settings import Members

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_events import EventBridgeClient
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sts import STSClient

CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 8},
    user_agent_extra="vpc-flow-logs-bootstrap",
)

# The most accounts whose clients are kept.
MOST_ACCOUNTS = 20


class Account:
    """The clients of one account in one region.

    Args:
        session: A session with that account's credentials.
        region: Where the clients call.
        living: The accounts that have clients, the oldest first.
    """

    def __init__(
        self, session: boto3.Session, region: str, living: Living | None = None
    ) -> None:
        self.session = session
        self.region = region
        self._living = OrderedDict() if living is None else living
        self._clients: dict[str, Any] = {}

    def _client(self, service: str) -> Any:
        found = self._clients.get(service)
        if found is None:
            found = self._clients[service] = self.session.client(
                service,  # type: ignore[call-overload]
                region_name=self.region,
                config=CONFIG,
            )
            self._living[id(self)] = self
            # Clients of hundreds of accounts would fill the memory. A change that is
            # not made yet keeps its account, which makes a new client then.
            while len(self._living) > MOST_ACCOUNTS:
                self._living.popitem(last=False)[1]._clients = {}
        return found

    @property
    def s3(self) -> S3Client:
        """S3."""
        return self._client("s3")  # type: ignore[no-any-return]

    @property
    def iam(self) -> IAMClient:
        """IAM."""
        return self._client("iam")  # type: ignore[no-any-return]

    @property
    def ec2(self) -> EC2Client:
        """EC2, which manages flow logs."""
        return self._client("ec2")  # type: ignore[no-any-return]

    @property
    def kms(self) -> KMSClient:
        """KMS."""
        return self._client("kms")  # type: ignore[no-any-return]

    @property
    def sns(self) -> SNSClient:
        """SNS."""
        return self._client("sns")  # type: ignore[no-any-return]

    @property
    def events(self) -> EventBridgeClient:
        """EventBridge."""
        return self._client("events")  # type: ignore[no-any-return]

    @property
    def elbv2(self) -> Any:
        """Elastic Load Balancing: application, network and gateway."""
        return self._client("elbv2")

    @property
    def elb(self) -> Any:
        """Elastic Load Balancing: classic."""
        return self._client("elb")

    @property
    def sts(self) -> STSClient:
        """STS."""
        return self._client("sts")  # type: ignore[no-any-return]

    @cached_property
    def arn(self) -> str:
        """The caller's ARN."""
        return self.sts.get_caller_identity()["Arn"]

    @property
    def partition(self) -> str:
        """Such as ``aws`` or ``aws-us-gov``."""
        return part_of(self.arn, 1)

    @property
    def account_id(self) -> str:
        """Twelve digits."""
        return part_of(self.arn, 4)


Living = OrderedDict[int, Account]

# The arguments that name the resource of a call, the most specific first.
RESOURCE_ARGUMENTS = (
    "Bucket RoleName KeyId TopicArn ResourceArn ResourceARN Rule ResourceIds FlowLogIds"
    " Name RoleArn"
).split()


class Accounts:
    """Returns the clients for an account and region, through a role if one is given.

    Args:
        session: A session with the caller's own credentials.
    """

    def __init__(self, session: boto3.Session) -> None:
        self._session = session
        # For each thread, since accounts are read in parallel.
        self._last = threading.local()
        self._listen(session, None)
        self._sessions: dict[str | None, boto3.Session] = {None: session}
        self._accounts: dict[tuple[str | None, str], Account] = {}
        self._arns: dict[str | None, str] = {}
        self._living: Living = OrderedDict()
        self._lock = threading.Lock()

    def account(self, account_id: str, region: str, role_arn: str | None) -> Account:
        """Return the clients, after a check of their account.

        Raises:
            BootstrapError: The credentials are for another account.
        """
        key = (role_arn, region)
        with self._lock:
            if key not in self._accounts:
                session = self._assume(role_arn, region)
                self._accounts[key] = Account(session, region, self._living)
            account = self._accounts[key]
            if role_arn in self._arns:
                # A login is the same in every region.
                account.__dict__.setdefault("arn", self._arns[role_arn])
        self._arns[role_arn] = account.arn
        if account.account_id != account_id:
            raise BootstrapError(
                f"{role_arn or 'the current login'} is for account "
                f"{account.account_id}, not for {account_id}: set role_arn to a role "
                f"of {account_id}, or log in to it"
            )
        return account

    @property
    def last_resource(self) -> str:
        """The resource of this thread's last call."""
        return str(getattr(self._last, "resource", ""))

    @property
    def last_place(self) -> str:
        """The region and role of this thread's last call."""
        return str(getattr(self._last, "place", ""))

    def decode(self, encoded: str) -> str | None:
        """Return the reason of this thread's last refusal, or None if it is secret.

        Args:
            encoded: The encoded message.
        """
        session, region = getattr(self._last, "session", (self._session, None))
        try:
            sts: STSClient = session.client("sts", region_name=region, config=CONFIG)
            answer = sts.decode_authorization_message(EncodedMessage=encoded)
        except (ClientError, BotoCoreError):
            return None
        return answer["DecodedMessage"]

    def _listen(self, session: boto3.Session, role_arn: str | None) -> None:
        # AWS's errors name the call, but no resource, region or account.
        def note(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
            names = (params[key] for key in RESOURCE_ARGUMENTS if key in params)
            place = f"in {context['client_region']}"
            self._last.resource = str(next(names, ""))
            self._last.place = f"{place} as {role_arn}" if role_arn else place
            self._last.session = session, context["client_region"]

        session.events.register("before-parameter-build.*.*", note)

    def _assume(self, role_arn: str | None, region: str) -> boto3.Session:
        if role_arn in self._sessions:
            return self._sessions[role_arn]
        assert role_arn is not None
        own = self._session._session

        def client_creator(service: str, **keys: Any) -> Any:
            # The global end point serves the commercial partition only.
            return own.create_client(service, **{"region_name": region, **keys})

        fetcher = AssumeRoleCredentialFetcher(
            client_creator=client_creator,
            source_credentials=own.get_credentials(),
            role_arn=role_arn,
            extra_args={"RoleSessionName": "vpc-flow-logs-bootstrap"},
        )
        assumed: Any = botocore.session.Session()
        # Share the service models: reading them takes longer than most calls.
        assumed.register_component("data_loader", own.get_component("data_loader"))
        # Credentials last an hour and a wait may be longer, so they refresh. botocore
        # has no public way to set refreshing credentials.
        assumed._credentials = DeferredRefreshableCredentials(
            refresh_using=fetcher.fetch_credentials, method="assume-role"
        )
        session = boto3.Session(botocore_session=assumed)
        self._listen(session, role_arn)
        self._sessions[role_arn] = session
        return session


def organization_members(profile: str | None) -> Members:
    """Return the active accounts of the caller's organisation.

    Args:
        profile: The AWS profile; None for the usual credentials.
    """
    session = boto3.Session(profile_name=profile)
    # Its service has one region in each partition.
    client: Any = session.client("organizations", config=CONFIG)
    pages = client.get_paginator("list_accounts").paginate()
    found = [
        account
        for page in pages
        for account in page["Accounts"]
        if account.get("State", account.get("Status")) == "ACTIVE"
    ]
    region = session.region_name or "us-east-1"
    sts: STSClient = session.client("sts", region_name=region, config=CONFIG)
    # …:account/<organisation's id>/<account's id>
    ids = {account["Arn"].split("/")[1] for account in found}
    return Members(
        sorted(account["Id"] for account in found),
        sts.get_caller_identity()["Account"],
        ids.pop() if len(ids) == 1 else None,
    )
