"""The settings file: which keys and values are refused, with which message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import boto3
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from bootstrap.aws import organization_members
from bootstrap.changes import BootstrapError
from bootstrap.naming import KNOWN_TRANSIT_GATEWAY, KNOWN_VPC, TAG_FIELDS
from bootstrap.settings import Members, Settings, load
from bootstrap.tests.world import HOME, REGION, base_settings

ROOT = Path(__file__).parents[2]


def _load(tmp_path: Path, document: object, *overrides: str, **variables: str) -> Any:
    path = tmp_path / "bootstrap.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load(path, variables, overrides)


def test_the_example_is_right() -> None:
    settings = load(ROOT / "bootstrap.yml.example")

    assert [source.resource_type for source in settings.sources] == ["vpc", "subnet"]


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        base_settings(expire_days=1),
        "bucket.expire_days=3",
        VPC_FLOW_BOOTSTRAP__BUCKET__EXPIRE_DAYS="2",
        VPC_FLOW_BOOTSTRAP__BUCKET__PREFIX="elsewhere",
        VPC_FLOW_BOOTSTRAP__FLOW_LOGS__FIELDS="[version, start]",
    )

    assert settings.bucket.expire_days == 3
    assert settings.bucket.prefix == "elsewhere"
    assert settings.flow_logs.fields == ("version", "start")


def test_an_account_id_keeps_its_zeros_in_an_override(tmp_path: Path) -> None:
    settings = _load(tmp_path, base_settings(), "bucket.account_id=001234567890")

    assert settings.bucket.account_id == "001234567890"


def test_settings_never_change() -> None:
    settings = Settings.model_validate(base_settings())

    with pytest.raises(ValidationError):
        settings.name = "other"


def _changed(**sections: Any) -> dict[str, Any]:
    document = base_settings()
    for section, value in sections.items():
        old: Any = document.get(section)
        both_maps = isinstance(old, dict) and isinstance(value, dict)
        document[section] = {**old, **value} if both_maps else value
    return document


SOURCE = {"account_id": HOME, "regions": [REGION]}
#: Sections of the file and words of the error. `source` is the only one of `sources`.
WRONG = """
bukcet: {} -> bukcet: unknown key; did you mean `bucket`?
bucket: 3 -> bucket: it must be a mapping of keys
bucket: {nmae: x} -> bucket.nmae: unknown key; did you mean `name`?
bucket: {account_id: 12345} -> bucket.account_id: quote it
bucket: {name: Not_A_Bucket} -> a bucket's name has 3 to 63 lower-case letters, digits,
bucket: {name: Not_A_Bucket} -> dots and hyphens (given: 'Not_A_Bucket')
bucket: {name: a..b} -> bucket.name: S3 refuses names with two dots
bucket: {name: 192.168.0.1} -> bucket.name: S3 refuses names with two dots
bucket: {name: xn--logs} -> bucket.name: S3 refuses names with two dots
bucket: {name: logs-s3alias} -> bucket.name: S3 refuses names with two dots
bucket: {region: ireland} -> a region is written like eu-west-1 (given: 'ireland')
bucket: {region: eu-wset-1} -> AWS has no region of that name; did you mean `eu-west-1`?
bucket: {prefix: a/AWSLogs/b} -> AWS adds `AWSLogs` itself
bucket: {prefix: day=1} -> bucket.prefix: a prefix has letters
bucket: {encryption: {type: sse-kms}} -> key_arn is needed
bucket: {encryption: {type: sse-kms, key_arn: 1234-abcd}} -> bucket.encryption.key_arn:
sources: {all: true} -> sources: it must be a list
sources: [] -> sources:
source: {all: true, regions: [eu-cental-1]} -> did you mean `eu-central-1`?
source: {all: true, regions: eu-west-1} -> regions: it must be a list, such as [a, b]
source: {} -> exactly one of ids, tags and all
source: {all: true, ids: [vpc-1]} -> exactly one of ids, tags and all
source: {all: true, resource_type: subnet} -> all: true is for VPCs
source: {all: true, rgions: []} -> rgions: unknown key; did you mean `regions`
flow_logs: {fields: extendd} -> fields: Input should be 'default' or 'extended'
flow_logs: {fields: extendd} -> (given: 'extendd')
flow_logs: {fields: [srcadr]} -> `srcadr` is not a field of a vpc
flow_logs: {fields: [tgw-id]} -> `tgw-id` is not a field of a vpc
flow_logs: {fields: [start, start]} -> a field is listed twice
flow_logs: {fields: [instance-tag]} -> `instance-tag` and key 1 of tag_keys.instance go
flow_logs: {fields: [asg-tag], tag_keys: {instance: [a]}} -> `instance-tag` and key 1 of
flow_logs: {fields: extended, tag_keys: {instance: [a, b, c]}} -> tag_keys.instance
flow_logs: {tag_keys: {subnet: [team]}} -> flow_logs.tag_keys
flow_logs: {aggregation_seconds: 300} -> flow_logs.aggregation_seconds
snowflake: {handshake: mail} -> snowflake.handshake
snowflake: {external_id: abc} -> set handshake: manual
{bucket: {prefix: ""}, snowflake: {allow_unload: true}} -> needs a bucket.prefix
events: {route: queue, topic_arn: "arn:aws:sns:a:123456789012:t"} -> needs route: topic
name: Prod -> name:
"""


@pytest.mark.parametrize("line", [*WRONG.strip().splitlines()])
def test_a_wrong_key_or_value_is_named(tmp_path: Path, line: str) -> None:
    written, _, words = line.partition(" -> ")
    sections = yaml.safe_load(written)
    if "source" in sections:
        sections["sources"] = [SOURCE | sections.pop("source")]

    with pytest.raises(BootstrapError) as caught:
        _load(tmp_path, _changed(**sections))

    assert words in str(caught.value)


def test_a_prefix_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="at most 150 characters"):
        _load(tmp_path, _changed(bucket={"prefix": "p" * 151}))


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError) as caught:
        _load(tmp_path, {"bucket": {"name": "x"}, "colour": "red"})

    for words in ("bucket.region: missing", "sources: missing", "colour: unknown key"):
        assert words in str(caught.value)


def test_a_list_of_wrong_items_is_not_reported_as_empty(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError) as caught:
        _load(tmp_path, _changed(sources=[{**SOURCE, "account_id": 1}]))

    problems = str(caught.value).splitlines()[1:]
    assert len(problems) == 1
    assert "sources[0].account_id: quote it" in problems[0]


@pytest.mark.parametrize("override", ["sources=[{", "=x", "bucket.=x", "bucket.name"])
def test_an_override_that_cannot_be_read_is_named(
    tmp_path: Path, override: str
) -> None:
    with pytest.raises(
        BootstrapError, match=r"^--set (sources: \[\{ is not YAML|.*KEY=)"
    ):
        _load(tmp_path, base_settings(), override)


@pytest.mark.parametrize("kind", ["folder", "not text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bootstrap.yml"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"name: \xff\xfe")

    with pytest.raises(BootstrapError, match=r"bootstrap\.yml cannot be read"):
        load(path)


def test_a_wrong_external_id_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError) as caught:
        _load(tmp_path, _changed(snowflake={"external_id": "s"}))

    assert "given" not in str(caught.value)


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.yml"
    path.write_text("bucket: [", encoding="utf-8")

    with pytest.raises(BootstrapError, match="is not YAML"):
        load(path)


def test_every_field_of_the_format_may_be_listed() -> None:
    keys = dict.fromkeys(TAG_FIELDS, ("one", "two"))
    vpcs = {"fields": sorted(KNOWN_VPC), "tag_keys": keys}
    gateways = {"fields": sorted(KNOWN_TRANSIT_GATEWAY)}
    chosen = {"resource_type": "transit-gateway", "ids": ["tgw-1"]}

    sources = [
        {**SOURCE, "all": True, "flow_logs": vpcs},
        {**SOURCE, **chosen, "flow_logs": gateways},
    ]
    assert Settings.model_validate(_changed(sources=sources))


def test_transit_gateways_always_have_a_minute() -> None:
    source = {**SOURCE, "resource_type": "transit-gateway", "ids": ["tgw-1"]}
    settings = Settings.model_validate(_changed(sources=[source]))

    assert settings.options(settings.sources[0]).aggregation_seconds == 60


def _keys(model: type[BaseModel], before: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        below = [
            part
            for part in (field.annotation, *get_args(field.annotation))
            if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        if not below:
            found.append(f"{before}{name}")
        for part in below:
            several = "[]" if get_origin(field.annotation) is tuple else ""
            found += _keys(part, f"{before}{name}{several}.")
    return found


def test_the_guide_describes_every_key() -> None:
    text = (ROOT / "docs" / "bootstrap.md").read_text("utf-8")
    table = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = set()
    for cell in table:
        whole, *tails = re.findall(r"`([^`]+)`", cell)
        parent = whole.rpartition(".")[0]
        documented |= {whole, *(f"{parent}{tail}" for tail in tails)}
    source = {"sources.flow_logs", "sources[].flow_logs"}

    wanted = {
        key for key in _keys(Settings) if not key.startswith("sources[].flow_logs.")
    }
    assert wanted - documented == set()
    assert source & documented


@pytest.mark.parametrize(
    ("region", "snowflake", "refused"),
    [
        (REGION, None, False),
        (REGION, "AZURE_WESTEUROPE", False),
        (REGION, "AWS_EU_WEST_1", False),
        (REGION, "AWS_US_GOV_WEST_1", True),
        (REGION, "AWS_CN_NORTHWEST_1", True),
        ("us-gov-west-1", None, True),
        ("us-gov-west-1", "AWS_US_WEST_2", True),
        ("us-gov-west-1", "AWS_US_GOV_EAST_1", True),
        ("us-gov-west-1", "AWS_US_GOV_WEST_1", False),
        ("us-gov-west-1", "PUBLIC.AWS_US_GOV_WEST_1", False),
        ("us-gov-west-1", "AWS_US_GOV_WEST_1_FHPLUS", False),
        ("cn-north-1", "AWS_CN_NORTHWEST_1", True),
        ("cn-northwest-1", "AWS_CN_NORTHWEST_1", False),
        ("eusc-de-east-1", "AWS_EU_CENTRAL_1", True),
        ("eusc-de-east-1", "AWS_EUSC_DE_EAST_1", False),
    ],
)
def test_a_foreign_snowflake_account_is_refused(
    region: str, snowflake: str | None, refused: bool
) -> None:
    document = base_settings({"snowflake": {"region": snowflake}}, region=region)
    document["sources"][0]["regions"] = [region]

    if not refused:
        assert Settings.model_validate(document).snowflake.region == snowflake
        return
    with pytest.raises(ValueError, match=r"in the same region|set snowflake\.region"):
        Settings.model_validate(document)


def test_a_source_in_another_partition_is_refused() -> None:
    document = base_settings()
    document["sources"][0]["regions"] = ["us-gov-west-1"]

    with pytest.raises(ValueError, match="one file for each partition"):
        Settings.model_validate(document)


# ----- an organisation

WHOLE: dict[str, Any] = {
    "organization": True,
    "role_name": "flow-log-admin",
    "exclude": [HOME],
    "regions": [REGION, "us-east-1"],
    "all": True,
}


def _of_organization(tmp_path: Path, **more: Any) -> Settings:
    path = tmp_path / "bootstrap.yml"
    path.write_text(yaml.safe_dump(_changed(sources={**WHOLE, **more})), "utf-8")
    accounts = ["111111111111", "222222222222", HOME]
    return load(path, {}, (), lambda _: Members(accounts, "222222222222"))


def test_an_organisation_is_a_source_for_each_account(tmp_path: Path) -> None:
    first, second = _of_organization(tmp_path).sources

    assert first.account_id == "111111111111"
    assert first.role_arn == "arn:aws:iam::111111111111:role/flow-log-admin"
    assert (first.regions, first.all) == ((REGION, "us-east-1"), True)
    # The login's own account needs no role.
    assert (second.account_id, second.role_arn) == ("222222222222", None)


def test_a_wrong_key_of_an_organisation_is_named(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match=r"sources\.role_name: missing"):
        path = tmp_path / "bootstrap.yml"
        sources = {key: WHOLE[key] for key in WHOLE if key != "role_name"}
        path.write_text(yaml.safe_dump(_changed(sources=sources)), "utf-8")
        load(path, {}, (), lambda _: Members([], HOME))


def test_the_accounts_are_those_that_are_active(aws: Any) -> None:
    del aws
    client: Any = boto3.client("organizations", region_name="us-east-1")
    client.create_organization(FeatureSet="ALL")
    made = client.create_account(Email="a@example.com", AccountName="a")
    account = made["CreateAccountStatus"]["AccountId"]
    client.create_account(Email="b@example.com", AccountName="b")
    client.close_account(AccountId=account)

    accounts, caller, organization = organization_members(None)

    assert caller == HOME
    assert HOME in accounts
    assert account not in accounts
    assert len(accounts) == 2
    assert organization == client.describe_organization()["Organization"]["Id"]
