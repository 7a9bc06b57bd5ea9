"""The keys of ``bootstrap.yml``, their types and their defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bootstrap import fields as flow_log_fields


def _like(pattern: str, words: str) -> AfterValidator:
    """Return a check whose error is a sentence instead of a pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _arn(service: str, rest: str, words: str) -> AfterValidator:
    return _like(f"arn:aws(-us-gov|-cn)?:{service}:{rest}", words)


AccountId = Annotated[str, _like(r"\d{12}", "an account id has twelve digits")]
Region = Annotated[
    str, _like(r"[a-z]{2}(-[a-z]+)+-\d", "a region is written like eu-west-1")
]
RoleArn = Annotated[
    str, _arn("iam", r":\d{12}:role/.+", "it must be the ARN of a role")
]
KeyArn = Annotated[
    str,
    # With a key id, delivery fails: "LogDestination undeliverable".
    _arn("kms", r"[a-z0-9-]+:\d{12}:key/[\w-]+", "it must be the ARN of a key"),
]
TopicArn = Annotated[
    str, _arn("sns", r"[a-z0-9-]+:\d{12}:[\w-]+", "it must be the ARN of a topic")
]
UserArn = Annotated[
    str, _arn("iam", r":\d{12}:user/.+", "it must be STORAGE_AWS_IAM_USER_ARN")
]
TagKeys = Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
Identifier = Annotated[
    str,
    _like(
        r"[A-Za-z_][A-Za-z0-9_$]*",
        "a Snowflake name has letters, digits, _ and $, and no digit first",
    ),
]
BucketName = Annotated[
    str,
    _like(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
    ),
]
# A letter follows every hyphen: statement ids drop hyphens and capitalise the letter,
# so two names never give the same id.
Name = Annotated[
    str,
    _like(
        r"(?=.{1,32}$)[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*",
        "a name has at most 32 lower-case letters, digits and hyphens, with a letter "
        "first and after every hyphen",
    ),
]
# IAM User Guide, "IAM and AWS STS quotas".
RoleName = Annotated[
    str,
    _like(
        r"[\w+=,.@-]{1,64}", "a role's name has at most 64 letters, digits and +=,.@_-"
    ),
]
SnowflakeRegion = Annotated[
    str, _like(r"[A-Za-z0-9_.-]+", "a Snowflake region is written like AWS_EU_WEST_1")
]
PipeName = Annotated[
    str, _like(r"[^.\s]+\.[^.\s]+\.[^.\s]+", "a pipe is written as DB.SCHEMA.PIPE")
]


def _prefix(text: str) -> str:
    """Return the prefix without slashes at its ends; empty for the bucket's root."""
    prefix = text.strip("/")
    if "AWSLogs" in prefix.split("/"):
        raise ValueError("AWS adds `AWSLogs` itself: remove it from the prefix")
    # S3 requires special characters of an event filter to be encoded, `=` among them;
    # `*` is a wildcard in policies.
    if not re.fullmatch(r"[A-Za-z0-9!_./-]*", prefix):
        raise ValueError(
            "a prefix has letters, digits and ! - _ . / only, as event filters require"
        )
    return prefix


Prefix = Annotated[str, AfterValidator(_prefix)]


class Section(BaseModel):
    """A part of the file; unknown keys are errors, and values are constant."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Encryption(Section):
    """The encryption of a new bucket, or the one that an existing bucket has."""

    type: Literal["sse-s3", "sse-kms"] = "sse-s3"
    key_arn: KeyArn | None = None
    manage_key_policy: bool = True

    @model_validator(mode="after")
    def _key_goes_with_kms(self) -> Self:
        if (self.type == "sse-kms") != (self.key_arn is not None):
            raise ValueError(
                "key_arn is needed with type: sse-kms, and with no other type"
            )
        return self


class Bucket(Section):
    """The bucket that receives the logs."""

    name: BucketName
    region: Region
    account_id: AccountId
    role_arn: RoleArn | None = None
    prefix: Prefix = ""
    create: bool = True
    versioning: bool = True
    encryption: Encryption = Encryption()
    expire_days: Annotated[int, Field(ge=1)] | None = None
    noncurrent_expire_days: Annotated[int, Field(ge=1)] = 7


class FlowLogOptions(Section):
    """The options of a flow log."""

    file_format: Literal["parquet", "plain-text"] = "parquet"
    hive_compatible_partitions: bool = False
    hourly_partitions: bool = False
    aggregation_seconds: Literal[60, 600] = 600
    traffic_type: Literal["ALL", "ACCEPT", "REJECT"] = "ALL"
    fields: Literal["default", "extended"] | tuple[str, ...] = "default"
    tag_keys: dict[flow_log_fields.TagCarrier, TagKeys] = {}


class Source(Section):
    """Network resources of one account, in one or more regions."""

    account_id: AccountId
    role_arn: RoleArn | None = None
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    resource_type: Literal[
        "vpc",
        "subnet",
        "network-interface",
        "transit-gateway",
    ] = "vpc"
    ids: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    all: bool = False
    flow_logs: FlowLogOptions | None = None

    @property
    def is_transit_gateway(self) -> bool:
        """Whether the source selects transit gateways."""
        return self.resource_type == "transit-gateway"

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if [bool(self.ids), bool(self.tags), self.all].count(True) != 1:
            raise ValueError("give exactly one of ids, tags and all: true")
        if self.all and self.resource_type != "vpc":
            raise ValueError(
                "all: true is for VPCs; select other resources by ids or tags"
            )
        if self.ids and len(self.regions) > 1:
            raise ValueError(
                "ids belong to one region: write one source for each region"
            )
        return self


class Dbt(Section):
    """How the program starts dbt."""

    executable: str = "dbt"
    target: str = "snowflake"
    project_dir: Path | None = None
    timeout_seconds: Annotated[int, Field(ge=1)] = 1800


class Snowflake(Section):
    """The Snowflake side, and how its values reach this program."""

    handshake: Literal["dbt", "manual"] = "dbt"
    integration: Identifier = "vpc_flow_logs"
    setup_role: Identifier | None = None
    role_name: RoleName | None = None
    allow_unload: bool = False
    region: SnowflakeRegion | None = None
    iam_user_arn: UserArn | None = None
    external_id: str | None = Field(
        default=None, min_length=2, max_length=1224, repr=False
    )
    notification_channel: str | None = None
    dbt: Dbt = Dbt()

    @model_validator(mode="after")
    def _values_by_hand_go_with_manual(self) -> Self:
        given = (self.iam_user_arn, self.external_id, self.notification_channel)
        if self.handshake == "dbt" and any(given):
            raise ValueError(
                "dbt reads iam_user_arn, external_id and notification_channel; to give "
                "them by hand, set handshake: manual"
            )
        return self


class Events(Section):
    """How the pipe is notified of new files."""

    route: Literal["auto", "queue", "topic", "eventbridge", "none"] = "auto"
    topic_arn: TopicArn | None = None
    on_conflict: Literal["eventbridge", "stop"] = "eventbridge"

    @model_validator(mode="after")
    def _topic_goes_with_its_route(self) -> Self:
        if self.topic_arn and self.route not in ("auto", "topic"):
            raise ValueError("topic_arn needs route: topic")
        return self


class Notify(Section):
    """Snowpipe's REST end point, for `python -m bootstrap notify`."""

    account: str
    user: str
    pipe: PipeName
    private_key_path: Path
    host: str | None = None
    port: int = 443
    scheme: Literal["https", "http"] = "https"
    max_files: Annotated[int, Field(ge=1)] = 10_000
    # Snowpipe remembers file names for 14 days. With a longer look-back, a lost ledger
    # would load files twice.
    lookback_days: Annotated[int, Field(ge=1, le=13)] = 3
    timeout_seconds: Annotated[int, Field(ge=1)] = 60

    @model_validator(mode="after")
    def _plain_http_stays_here(self) -> Self:
        if self.scheme == "http" and self.host not in ("127.0.0.1", "localhost"):
            raise ValueError("scheme: http is for a stand-in on this machine only")
        return self


class Settings(Section):
    """All settings, from the file, the environment and flags."""

    name: Name = "vpc-flow-logs"
    profile: str | None = None
    tags: dict[str, str] = {}
    state_dir: Path = Path(".bootstrap")
    wait_seconds: Annotated[int, Field(ge=0)] = 300
    bucket: Bucket
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    flow_logs: FlowLogOptions = FlowLogOptions()
    snowflake: Snowflake = Snowflake()
    events: Events = Events()
    notify: Notify | None = None

    def options(self, source: Source) -> FlowLogOptions:
        """Return the flow log options of a source."""
        options = source.flow_logs or self.flow_logs
        if source.is_transit_gateway:
            # AWS allows no other interval for transit gateways.
            return options.model_copy(update={"aggregation_seconds": 60})
        return options

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for source in self.sources:
            _check_fields(self.options(source), source)
        if len({self.options(source).file_format for source in self.sources}) > 1:
            raise ValueError(
                "sources: all need the same file_format, for one event filter"
            )
        if self.snowflake.allow_unload and not self.bucket.prefix:
            raise ValueError(
                "snowflake.allow_unload needs a bucket.prefix as its limit"
            )
        return self


def _check_fields(options: FlowLogOptions, source: Source) -> None:
    known = (
        flow_log_fields.KNOWN_TRANSIT_GATEWAY
        if source.is_transit_gateway
        else flow_log_fields.KNOWN_VPC
    )
    names = flow_log_fields.names_of(
        options.fields, source.is_transit_gateway, options.tag_keys
    )
    if not names:
        raise ValueError("flow_logs.fields: the list is empty")
    for name in names:
        if name not in known:
            raise ValueError(
                f"flow_logs.fields: `{name}` is not a field of a "
                f"{source.resource_type} flow log (write it with hyphens)"
            )
    if len(set(names)) != len(names):
        raise ValueError("flow_logs.fields: a field is listed twice")
    for kind, tag_fields in flow_log_fields.TAG_FIELDS.items():
        keys = options.tag_keys.get(kind, ())
        for number, name in enumerate(tag_fields, 1):
            if (name in names) != (number <= len(keys)):
                raise ValueError(
                    f"flow_logs: the field `{name}` and key {number} of tag_keys."
                    f"{kind} go together: give both or neither"
                )
