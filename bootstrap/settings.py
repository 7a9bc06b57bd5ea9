"""The keys of ``bootstrap.yml``, their types and defaults, and how they are read.

They come from the file, the environment and flags.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import botocore.session
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from bootstrap import naming
from bootstrap.changes import BootstrapError
from bootstrap.naming import Names, Place, Senders, partition_of_region


def _like(pattern: str, words: str) -> AfterValidator:
    """Return a check whose error is a sentence instead of a pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _arn(service: str, rest: str, words: str) -> AfterValidator:
    return _like(f"arn:aws(-us-gov|-cn|-eusc)?:{service}:{rest}", words)


AccountId = Annotated[str, _like(r"\d{12}", "an account id has twelve digits")]


@cache
def _known_regions() -> frozenset[str]:
    """Return the regions of every partition; botocore has the list, offline."""
    session = botocore.session.get_session()
    found = (
        session.get_available_regions("ec2", partition, allow_non_regional=False)
        for partition in session.get_available_partitions()
    )
    return frozenset(region for regions in found for region in regions)


def _region(text: str) -> str:
    known = _known_regions()
    if text not in known:
        close = difflib.get_close_matches(text, known, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise ValueError(f"AWS has no region of that name{hint}")
    return text


Region = Annotated[
    str,
    _like(r"[a-z]{2,4}(-[a-z]+)+-\d", "a region is written like eu-west-1"),
    AfterValidator(_region),
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
BoundaryArn = Annotated[
    str, _arn("iam", r"(:\d{12}|:aws):policy/.+", "it must be the ARN of a policy")
]
# API reference, CreateRole.
RolePath = Annotated[
    str, _like(r"/|/[!-~]{1,510}/", "a path begins and ends with a slash")
]
OrganizationId = Annotated[
    str,
    _like(r"o-[a-z0-9]{10,32}", "an organisation's id is written like o-ab12cd34ef"),
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
# S3 guide, "General purpose bucket naming rules".
BucketName = Annotated[
    str,
    _like(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
    ),
    _like(
        r"(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)(?!xn--|sthree-|amzn-s3-demo-)"
        r"(?!.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$).*",
        "S3 refuses names with two dots in a row, IP addresses and reserved beginnings "
        "and ends",
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
    if len(prefix) > 150:
        raise ValueError("a prefix has at most 150 characters, to fit into our tag")
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


class EarlierPlace(Section):
    """Where the logs were delivered before; the account and region are the same."""

    name: BucketName | None = None
    prefix: Prefix = ""
    keep_until_empty: bool = True


class Bucket(Section):
    """The bucket that receives the logs."""

    name: BucketName
    region: Region
    account_id: AccountId
    role_arn: RoleArn | None = None
    prefix: Prefix = ""
    create: bool = True
    manage: bool = True
    versioning: bool = True
    encryption: Encryption = Encryption()
    moved_from: EarlierPlace | None = None
    expire_days: Annotated[int, Field(ge=1)] | None = None
    noncurrent_expire_days: Annotated[int, Field(ge=1)] = 7

    @model_validator(mode="after")
    def _creates_what_it_manages(self) -> Self:
        if self.create and not self.manage:
            raise ValueError("manage: false needs create: false")
        return self


class FlowLogOptions(Section):
    """The options of a flow log."""

    file_format: Literal["parquet", "plain-text"] = "parquet"
    hive_compatible_partitions: bool = False
    hourly_partitions: bool = False
    aggregation_seconds: Literal[60, 600] = 600
    traffic_type: Literal["ALL", "ACCEPT", "REJECT"] = "ALL"
    fields: Literal["default", "extended"] | tuple[str, ...] = "default"
    tag_keys: dict[naming.TagCarrier, TagKeys] = {}


class Selection(Section):
    """Which network resources of an account, in one or more regions."""

    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    resource_type: Literal[
        "vpc",
        "subnet",
        "network-interface",
        "transit-gateway",
        "transit-gateway-attachment",
        "regional-nat-gateway",
    ] = "vpc"
    ids: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    all: bool = False
    flow_logs: FlowLogOptions | None = None

    @property
    def is_transit_gateway(self) -> bool:
        """Whether the source selects transit gateways or their attachments."""
        return self.resource_type.startswith("transit-gateway")

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


class Source(Selection):
    """Network resources of one account."""

    account_id: AccountId
    role_arn: RoleArn | None = None


class Organization(Selection):
    """Network resources of every account of the organisation, as `sources`."""

    organization: Literal[True]
    role_name: RoleName
    exclude: tuple[AccountId, ...] = ()

    def sources(self, accounts: Iterable[str], caller: str) -> list[dict[str, object]]:
        """Return a source for each account.

        Args:
            accounts: The ids of the organisation's accounts.
            caller: The login's own account, which needs no role.
        """
        own = {"organization", "role_name", "exclude"}
        given = self.model_dump(exclude=own, exclude_unset=True)
        partition = partition_of_region(self.regions[0])
        return [
            {
                **given,
                "account_id": account,
                "role_arn": None
                if account == caller
                else f"arn:{partition}:iam::{account}:role/{self.role_name}",
            }
            for account in accounts
            if account not in self.exclude
        ]


class _OfOrganization(BaseModel):
    sources: Organization


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
    role_path: RolePath = "/"
    permissions_boundary: BoundaryArn | None = None
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

    name: Name
    profile: str | None = None
    tags: dict[str, str] = {}
    state_dir: Path = Path(".bootstrap")
    wait_seconds: Annotated[int, Field(ge=0)] = 300
    organization_id: OrganizationId | None = None
    bucket: Bucket
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    flow_logs: FlowLogOptions = FlowLogOptions()
    snowflake: Snowflake = Snowflake()
    events: Events = Events()
    notify: Notify | None = None

    # The organisation that the accounts of `sources` were read from.
    _found_organization: str | None = PrivateAttr(default=None)

    def options(self, source: Source) -> FlowLogOptions:
        """Return the flow log options of a source."""
        options = source.flow_logs or self.flow_logs
        if source.is_transit_gateway:
            # AWS allows no other interval for transit gateways.
            return options.model_copy(update={"aggregation_seconds": 60})
        return options

    def field_names(self, source: Source) -> tuple[str, ...]:
        """Return the fields of a source's flow logs."""
        options = self.options(source)
        return naming.names_of(
            options.fields, source.is_transit_gateway, options.tag_keys
        )

    @property
    def names(self) -> Names:
        """The names that follow from name, bucket and prefix."""
        role_name = self.snowflake.role_name
        return Names(self.name, self.bucket.name, self.bucket.prefix, role_name)

    @property
    def partition(self) -> str:
        """The partition of every account, such as ``aws`` or ``aws-us-gov``."""
        return partition_of_region(self.bucket.region)

    @property
    def place(self) -> Place:
        """The bucket and prefix that logs are delivered to."""
        return Place(self.partition, self.bucket.name, self.bucket.prefix)

    @property
    def s3(self) -> dict[str, Any]:
        """The arguments of every S3 call: the bucket, and its expected owner."""
        return {
            "Bucket": self.bucket.name,
            "ExpectedBucketOwner": self.bucket.account_id,
        }

    @property
    def earlier(self) -> Settings | None:
        """The settings at the place before it moved, or None."""
        moved = self.bucket.moved_from
        if moved is None:
            return None
        before = {"name": moved.name or self.bucket.name, "prefix": moved.prefix}
        more = {**before, "moved_from": None, "create": False}
        return self.model_copy(update={"bucket": self.bucket.model_copy(update=more)})

    @property
    def suffix(self) -> str:
        """The end of every delivered file's name."""
        options = self.options(self.sources[0])
        return ".parquet" if options.file_format == "parquet" else ".log.gz"

    @property
    def source_pairs(self) -> list[tuple[str, str]]:
        """Every (account id, region) pair that delivers logs."""
        return [(s.account_id, r) for s in self.sources for r in s.regions]

    @property
    def places(self) -> dict[tuple[str, str], list[Source]]:
        """The sources of each account and region, in the order of the file."""
        found: dict[tuple[str, str], list[Source]] = {}
        for source in self.sources:
            for region in source.regions:
                found.setdefault((source.account_id, region), []).append(source)
        return found

    @property
    def senders(self) -> list[Senders]:
        """The accounts that deliver, by the forms of naming them, the longest first."""
        pairs = self.source_pairs
        if self.organization_id:
            return [Senders(pairs, self.organization_id)]
        found = [Senders(pairs), Senders(pairs, short=True)]
        if self._found_organization:
            found.append(Senders(pairs, self._found_organization))
        return found

    @property
    def log_folders(self) -> list[str]:
        """The folders of every account's flow logs, in both layouts."""
        accounts = self.senders[0].accounts
        return [folder for a in accounts for folder in self.place.folders(a)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for source in self.sources:
            _check_fields(self.options(source), source)
        if len({self.options(source).file_format for source in self.sources}) > 1:
            raise ValueError(
                "sources: all need the same file_format, for one event filter"
            )
        for one, other in combinations(self.sources, 2):
            _check_overlap(one, other)
        _check_partitions(self.bucket.region, self.source_pairs)
        _check_snowflake_region(self.partition, self.bucket.region, self.snowflake)
        if self.snowflake.allow_unload and not self.bucket.prefix:
            raise ValueError(
                "snowflake.allow_unload needs a bucket.prefix as its limit"
            )
        return self


def _check_partitions(home: str, pairs: Iterable[tuple[str, str]]) -> None:
    for account, region in pairs:
        if partition_of_region(region) != partition_of_region(home):
            raise ValueError(
                f"sources: {account} {region} is in partition "
                f"{partition_of_region(region)}, the bucket in "
                f"{partition_of_region(home)}: write one file for each partition"
            )


def _check_snowflake_region(partition: str, wanted: str, given: Snowflake) -> None:
    """Check that the Snowflake account can read buckets of this partition.

    Snowflake, CREATE STORAGE INTEGRATION: buckets in government and Chinese regions
    need an account in the same region; accounts there read no others.
    """
    if given.region is None:
        if partition == "aws":
            return
        raise ValueError(
            f"the bucket is in partition {partition}: set snowflake.region to the "
            "result of `select current_region()`"
        )
    plain = given.region.lower().rpartition(".")[2].replace("_", "-")
    plain = plain.removeprefix("aws-")
    if partition == "aws":
        foreign = plain.startswith(("us-gov-", "cn-", "azure-usgov"))
    else:
        # Government regions have variants, such as `…_FHPLUS`.
        foreign = plain != wanted and not plain.startswith(f"{wanted}-")
    if foreign:
        raise ValueError(
            f"Snowflake in {given.region} cannot read a bucket in {wanted}: in "
            "government, Chinese and sovereign regions both must be in the same region"
        )


def _check_overlap(one: Source, other: Source) -> None:
    """Refuse two sources that surely select the same resource."""
    regions = set(one.regions) & set(other.regions)
    same_kind = one.resource_type == other.resource_type
    if one.account_id != other.account_id or not regions or not same_kind:
        return
    ids = set(one.ids) & set(other.ids)
    if ids or one.all or other.all or (one.tags and one.tags == other.tags):
        which = ", ".join(sorted(ids)) or f"each {one.resource_type}"
        raise ValueError(
            f"sources: two select {which} in {one.account_id} "
            f"{', '.join(sorted(regions))}, so every record would come twice"
        )


def _check_fields(options: FlowLogOptions, source: Source) -> None:
    known = (
        naming.KNOWN_TRANSIT_GATEWAY if source.is_transit_gateway else naming.KNOWN_VPC
    )
    names = naming.names_of(options.fields, source.is_transit_gateway, options.tag_keys)
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
    for kind, tag_fields in naming.TAG_FIELDS.items():
        keys = options.tag_keys.get(kind, ())
        for number, name in enumerate(tag_fields, 1):
            if (name in names) != (number <= len(keys)):
                raise ValueError(
                    f"flow_logs: the field `{name}` and key {number} of tag_keys."
                    f"{kind} go together: give both or neither"
                )


# ----- reading


class Members(typing.NamedTuple):
    """The accounts of an organisation.

    Args:
        accounts: The ids of the active ones.
        caller: The login's own account.
        organization: The organisation's id.
    """

    accounts: list[str]
    caller: str
    organization: str | None = None


ENVIRONMENT_PREFIX = "VPC_FLOW_BOOTSTRAP__"


def load(
    path: Path,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    members_of: Callable[[str | None], Members] | None = None,
) -> Settings:
    """Read the settings; flags win over the environment, which wins over the file.

    Args:
        path: The YAML file; may be missing if the rest has every key.
        environment: Variables such as ``VPC_FLOW_BOOTSTRAP__BUCKET__NAME``.
        overrides: Values of ``--set``, such as ``bucket.name=x``.
        members_of: Returns the organisation of an AWS profile; called for
            ``sources.organization`` only.

    Raises:
        BootstrapError: The file is not YAML, or keys or values are wrong; the message
            lists all of them.
    """
    document = _read(path)
    for variable, value in sorted((environment or {}).items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            keys = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _put(document, keys, _value(value, variable), variable)
    for override in overrides:
        dotted, equals, value = override.partition("=")
        keys, at = dotted.split("."), f"--set {dotted}"
        if not equals or not all(keys):
            raise BootstrapError(f"--set {override}: write it as KEY=VALUE")
        _put(document, keys, _value(value, at), at)
    sources, organization = document.get("sources"), None
    try:
        if isinstance(sources, dict) and "organization" in sources and members_of:
            chosen = _OfOrganization.model_validate({"sources": sources}).sources
            profile = document.get("profile")
            members = members_of(str(profile) if profile else None)
            document["sources"] = chosen.sources(members.accounts, members.caller)
            organization = members.organization
        found = Settings.model_validate(document)
        found._found_organization = organization
        return found
    except ValidationError as error:
        lines = "\n".join(f"  {problem}" for problem in _sentences(error))
        if not path.exists():
            lines += "\n  (the file does not exist: copy bootstrap.yml.example to it)"
        raise BootstrapError(f"{path} has errors:\n{lines}") from None


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BootstrapError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise BootstrapError(f"{path} is not YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BootstrapError(f"{path} must be a mapping of keys, such as `bucket:`")
    return document


def _value(text: str, at: str) -> object:
    # Only lists and mappings are parsed as YAML. Other values stay text, so that an
    # account id keeps its leading zeros; pydantic converts numbers.
    if text[:1] not in ("[", "{"):
        return text
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BootstrapError(f"{at}: {text} is not YAML: {error}") from None
    return value


def _put(document: dict[str, object], keys: list[str], value: object, at: str) -> None:
    *parents, last = keys
    here: dict[str, object] = document
    for key in parents:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            raise BootstrapError(
                f"{at}: `{key}` is not a mapping; set all of it at once"
            )
        here = below
    here[last] = value


# In place of pydantic's messages, which name Python types.
WORDS = {
    "tuple_type": "it must be a list, such as [a, b]",
    "dict_type": "it must be a mapping of keys",
    "model_type": "it must be a mapping of keys",
    "missing": "missing",
}


def _sentences(error: ValidationError) -> list[str]:
    # pydantic also reports a list as empty when its items are wrong.
    return [
        _sentence(problem)
        for problem in map(dict, error.errors())
        if problem["type"] != "too_short" or not problem["input"]
    ]


def _sentence(problem: dict[str, object]) -> str:
    location = problem["loc"]
    assert isinstance(location, tuple)
    message = WORDS.get(
        str(problem["type"]), str(problem["msg"]).removeprefix("Value error, ")
    )
    given = problem.get("input")
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(
            str(location[-1]), _keys_beside(location), n=1
        )
        message = "unknown key" + (f"; did you mean `{close[0]}`?" if close else "")
    elif problem["type"] == "string_type" and isinstance(given, int):
        message = "quote it, since YAML reads a number and drops leading zeros"
    elif isinstance(given, str | int | float) and "external_id" not in location:
        message += f" (given: {given!r})"
    # pydantic adds the name of an alternative, with brackets, to the location.
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in location
        if "[" not in str(part)
    )
    return f"{where.removeprefix('.')}: {message}" if where else message


def _keys_beside(location: tuple[object, ...]) -> list[str]:
    """Return the valid keys next to an unknown one."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        below = _model_in(model.model_fields[part].annotation)
        if below is not None:
            model = below
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
