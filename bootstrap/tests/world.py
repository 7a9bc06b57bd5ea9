"""An AWS account for tests: resources of others, Snowflake, and a snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from bootstrap import steps
from bootstrap.aws import Account, Accounts
from bootstrap.changes import Change
from bootstrap.naming import Names
from bootstrap.settings import Settings
from bootstrap.snowflake import ByHand, Dbt, Integration, Pipe
from bootstrap.steps import Deployment

HOME = "123456789012"
OTHER = "210987654321"
REGION = "eu-west-1"
BUCKET = "acme-flow-data"
USER = "arn:aws:iam::999988887777:user/abc1-s-xyz"
EXTERNAL_ID = "ACME_SFCRole=2_h3k/9Zq="
NAME = "vpc-flow-logs"
NAMES = Names(NAME, BUCKET, "vpc")
QUEUE = f"arn:aws:sqs:{REGION}:999988887777:sf-snowpipe-AIDA-abc"


@dataclass
class Snowflake(ByHand):
    """The Snowflake side in memory, with the effects of the run-operations."""

    by_hand = False
    queue: str = ""
    integration_: Integration | None = None
    pipe_: Pipe | None = None
    load_: dict[str, Any] | None = None
    parameters_: dict[str, Any] | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def integration(self) -> Integration | None:
        return self.integration_

    def pipe(self) -> Pipe | None:
        return self.pipe_

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        self.calls.append(("set_up", (role_arn, tuple(locations))))
        self.integration_ = Integration(role_arn, USER, EXTERNAL_ID, tuple(locations))

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        self.calls.append(("stage", (topic_arn, auto_ingest)))
        channel = (topic_arn or f"{QUEUE}{self.queue}") if auto_ingest else ""
        self.pipe_ = Pipe("DB.LANDING.FLOW_LOGS", channel, "RUNNING")

    def left(self, delete_data: bool) -> list[str]:
        return ["drop everything"] if self.integration_ or self.pipe_ else []

    def tear_down(self, delete_data: bool) -> None:
        self.calls.append(("tear_down", ()))
        self.integration_ = self.pipe_ = None

    def load(self) -> dict[str, Any] | None:
        return self.load_

    def parameters(self) -> dict[str, Any] | None:
        return self.parameters_


class Crash(BaseException):
    """The program dies; no handler may catch it."""


def answer(status: int, **body: Any) -> tuple[Any, dict[str, Any]]:
    """Return what a `before-call` hook returns in place of AWS's answer."""
    response = type("Answer", (), {"status_code": status, "headers": {}})()
    return response, {**body, "ResponseMetadata": {"HTTPStatusCode": status}}


def refusal(code: str, message: str = "", status: int = 403, **more: str) -> Any:
    """Return what a `before-call` hook returns to refuse a call."""
    return answer(status, Error={"Code": code, "Message": message, **more})


@contextmanager
def hooked(events: Any, event: str, hook: Callable[..., Any]) -> Iterator[None]:
    """Register a hook of botocore's."""
    events.register(event, hook)
    try:
        yield
    finally:
        events.unregister(event, hook)


class Recorder:
    """Records every call of a session, and makes one of them fail.

    Args:
        session: The session.
    """

    def __init__(self, session: boto3.Session) -> None:
        self.calls: list[str] = []
        self.services: list[tuple[str, str]] = []
        self._count = 0
        self.refuse_at: int | None = None
        self.crash_at: int | None = None
        self.listen(session)

    def listen(self, session: boto3.Session) -> None:
        """Record the calls of another session."""
        session.events.register("before-call.*.*", self._before)
        session.events.register("after-call.*.*", self._after)

    def start(self, refuse: int | None = None, crash: int | None = None) -> None:
        """Start again; the first call has number 0."""
        self.calls, self.services, self._count = [], [], 0
        self.refuse_at, self.crash_at = refuse, crash

    def _before(self, model: Any, **_: Any) -> Any:
        number, self._count = self._count, self._count + 1
        self.calls.append(model.name)
        self.services.append((model.service_model.endpoint_prefix, model.name))
        if number != self.refuse_at:
            return None
        return refusal("AccessDenied", "as the test sets it")

    def _after(self, model: Any, **_: Any) -> None:
        if self._count - 1 == self.crash_at and model.name == self.calls[-1]:
            raise Crash(model.name)


WRITES = ("Create", "Put", "Delete", "Update", "Set", "Remove", "Tag", "Attach")


def writes(calls: list[str]) -> list[str]:
    """Return the calls that change something."""
    return [call for call in calls if call.startswith(WRITES)]


class RecordedAccounts(Accounts):
    """Accounts whose calls are recorded, also through assumed roles.

    Args:
        session: The caller's session.
        recorder: Records the calls.
    """

    def __init__(self, session: boto3.Session, recorder: Recorder) -> None:
        super().__init__(session)
        self._recorder = recorder

    def _assume(self, role_arn: str | None, region: str) -> boto3.Session:
        known = role_arn in self._sessions
        session = super()._assume(role_arn, region)
        if not known:
            self._recorder.listen(session)
        return session

    def forget_all(self) -> None:
        """Start as a new process does, but keep the caller's clients."""
        self._sessions = {None: self._session}
        self._arns = {}
        self._accounts = {
            key: account for key, account in self._accounts.items() if not key[0]
        }
        for account in self._accounts.values():
            account.__dict__.pop("arn", None)


class Clients:
    """A session and its clients, which take long to make."""

    shared: Clients | None = None

    def __init__(self) -> None:
        self.session = boto3.Session("testing", "testing", region_name=REGION)
        self.recorder = Recorder(self.session)
        self.accounts = RecordedAccounts(self.session, self.recorder)
        self.aws = Account(self.session, REGION)

    @classmethod
    def clean(cls) -> Clients:
        """Return the shared ones, without accounts or recorded calls."""
        found = cls.shared = cls.shared or cls()
        found.recorder.start()
        found.accounts.forget_all()
        return found


class World:
    """An AWS account with the caller's credentials.

    Args:
        folder: The folder for ``state_dir``.
        own_clients: Whether to create new clients, as for another end point.
    """

    def __init__(self, folder: Path, own_clients: bool = False) -> None:
        self.folder = folder
        clients = Clients() if own_clients else Clients.clean()
        self.session, self.aws = clients.session, clients.aws
        self.recorder, self.accounts = clients.recorder, clients.accounts
        self.snowflake = Snowflake()
        self.said: list[str] = []
        self.slept: list[float] = []

    def deployment(self, document: dict[str, Any], **more: Any) -> Deployment:
        """Return a deployment in this account; the settings choose Snowflake's side."""
        settings = Settings.model_validate({"state_dir": self.folder, **document})
        side: ByHand = self.snowflake
        if settings.snowflake.handshake == "manual":
            side = ByHand(settings)
        elif settings.snowflake.dbt.executable != "dbt":
            side = Dbt(settings, self.said.append)
        return Deployment(
            settings, self.accounts, side, self.said.append, self.slept.append, **more
        )

    def applied(
        self, more: dict[str, Any] | None = None, /, **bucket: Any
    ) -> Deployment:
        """Apply; it takes what `base_settings` takes."""
        d = self.deployment(base_settings(more, **bucket))
        apply(d)
        return d

    def vpcs(self, region: str = REGION) -> list[str]:
        """Return the ids of the account's VPCs."""
        ec2 = self.session.client("ec2", region_name=region)
        return sorted(v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"])


def base_settings(
    more: dict[str, Any] | None = None, /, **bucket: Any
) -> dict[str, Any]:
    """Return the smallest settings: a new bucket, and every VPC of one region.

    Args:
        more: More sections of the file, or others.
        bucket: More keys of the bucket, or others.
    """
    return {
        "name": NAME,
        "bucket": {
            "name": BUCKET,
            "region": REGION,
            "account_id": HOME,
            "prefix": "vpc",
            **bucket,
        },
        "sources": [{"account_id": HOME, "regions": [REGION], "all": True}],
        **(more or {}),
    }


def apply(d: Deployment) -> list[Change]:
    """Apply and return the changes that were made."""
    return list(steps.apply(d))


def destroy(d: Deployment, delete_data: bool = True) -> list[Change]:
    """Destroy, with Snowflake's side, and return the changes that were made."""
    return list(steps.apply(d, steps.destroy_steps(delete_data, with_snowflake=True)))


def their_bucket(world: World, conflicting: str | None = None) -> dict[str, str]:
    """Create another owner's bucket with policy, rules and notifications.

    Args:
        world: The account.
        conflicting: ``queue``, ``topic`` or ``function``: that notification then
            overlaps with ours, since it gets every new object; ``part of a topic``
            gets those of one account.
    """
    s3, sns = world.aws.s3, world.aws.sns
    sqs: Any = world.session.client("sqs", region_name=REGION)
    where: Any = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    policy = {
        "Version": "2012-10-17",
        "Id": "theirs",
        "Statement": [
            {
                "Sid": "TheirReaders",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/reports/*",
            },
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:DeleteBucket",
                "Resource": f"arn:aws:s3:::{BUCKET}",
            },
        ],
    }
    # Every byte of this style must be restored.
    text = f"{json.dumps(policy, indent=3, separators=(',', ' : '))}\n"
    s3.put_bucket_policy(Bucket=BUCKET, Policy=text)
    rules: Any = [
        {
            "ID": f"their-rule-{n}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"reports/{n}/"},
            "Expiration": {"Days": 30 + n},
        }
        for n in range(2)
    ]
    s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": rules}
    )
    sqs.create_queue(QueueName="theirs")
    topic = sns.create_topic(Name="theirs")["TopicArn"]
    queue_arn = f"arn:aws:sqs:{REGION}:{HOME}:theirs"
    function_arn = f"arn:aws:lambda:{REGION}:{HOME}:function:theirs"

    def only(prefix: str) -> dict[str, Any]:
        filters = [{"Name": "prefix", "Value": prefix}]
        return {"Filter": {"Key": {"FilterRules": filters}}}

    def sends(kind: str, arn_key: str, arn: str, **usually: Any) -> list[Any]:
        created: dict[str, Any] = {"Events": ["s3:ObjectCreated:*"]}
        if conflicting == "part of a topic":
            created |= only(f"vpc/AWSLogs/{HOME}/")
        found = created if str(conflicting).endswith(kind) else usually
        return [{"Id": f"their-{kind}", arn_key: arn, **found}]

    put = "s3:ObjectRestore:*" if conflicting else "s3:ObjectCreated:Put"
    tagging, removed = ["s3:ObjectTagging:*"], ["s3:ObjectRemoved:*"]
    configuration: Any = {
        "QueueConfigurations": sends(
            "queue", "QueueArn", queue_arn, Events=[put], **only("reports/")
        ),
        "TopicConfigurations": sends("topic", "TopicArn", topic, Events=removed),
        "LambdaFunctionConfigurations": sends(
            "function",
            "LambdaFunctionArn",
            function_arn,
            Events=tagging,
            **only("images/"),
        ),
    }
    if conflicting in (None, "topic"):
        configuration["EventBridgeConfiguration"] = {}
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=configuration
    )
    return {"topic": topic, "queue": queue_arn}


def snapshot(world: World, key_arn: str | None = None) -> dict[str, Any]:
    """Return everything that the program can change, without random ids."""
    s3, iam, ec2 = world.aws.s3, world.aws.iam, world.aws.ec2
    sns, events = world.aws.sns, world.aws.events
    found: dict[str, Any] = {"buckets": {}}
    for item in s3.list_buckets()["Buckets"]:
        name = item["Name"]
        arguments = {"Bucket": name}
        found["buckets"][name] = {
            call: _ask(lambda call=call, a=arguments: getattr(s3, call)(**a))  # type: ignore[misc]
            for call in (
                "get_bucket_policy",
                "get_bucket_lifecycle_configuration",
                "get_bucket_notification_configuration",
                "get_bucket_encryption",
                "get_bucket_versioning",
                "get_public_access_block",
                "get_bucket_ownership_controls",
                "get_bucket_tagging",
            )
        }
    found["roles"] = {
        role["RoleName"]: (
            role["AssumeRolePolicyDocument"],
            {
                name: iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)[
                    "PolicyDocument"
                ]
                for name in iam.list_role_policies(RoleName=role["RoleName"])[
                    "PolicyNames"
                ]
            },
        )
        for role in iam.list_roles()["Roles"]
    }
    logs: Any = ec2.describe_flow_logs()["FlowLogs"]
    found["flow logs"] = sorted(
        json.dumps(
            {k: v for k, v in log.items() if k not in ("FlowLogId", "CreationTime")},
            default=str,
            sort_keys=True,
        )
        for log in logs
    )
    found["topics"] = {
        topic["TopicArn"]: _ask(
            lambda arn=topic["TopicArn"]: sns.get_topic_attributes(TopicArn=arn)  # type: ignore[misc]
        )["Attributes"]["Policy"]
        for topic in sns.list_topics()["Topics"]
    }
    found["rules"] = {
        rule["Name"]: (
            rule.get("EventPattern"),
            rule.get("State"),
            events.list_targets_by_rule(Rule=rule["Name"])["Targets"],
        )
        for rule in events.list_rules()["Rules"]
    }
    if key_arn:
        answer = world.aws.kms.get_key_policy(KeyId=key_arn, PolicyName="default")
        found["key policy"] = answer["Policy"]
    return found


def _ask(call: Callable[[], Any]) -> Any:
    with suppress(ClientError):
        answer: Any = call()
        answer.pop("ResponseMetadata", None)
        return answer
    return None
