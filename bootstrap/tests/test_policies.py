"""The policies: an evaluator decides what they allow."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import policies
from bootstrap.naming import Names, Place, Senders
from bootstrap.policies import (
    delivery_statements,
    deny_plain_http,
    key_statements,
    role_policy,
    trust_policy,
)
from bootstrap.tests.evaluator import Request, allows
from bootstrap.tests.world import BUCKET, EXTERNAL_ID, HOME, NAMES, OTHER, USER

PLACE = Place("aws", BUCKET, "vpc")
ARN = f"arn:aws:s3:::{BUCKET}"
KEY = f"arn:aws:kms:eu-west-1:{HOME}:key/1"
LOG = f"{ARN}/vpc/AWSLogs/{HOME}/vpcflowlogs/eu-west-1/2026/01/01/a.log.parquet"


def _list(prefix: str | None) -> Request:
    context = {} if prefix is None else {"s3:prefix": prefix}
    return Request("s3:ListBucket", ARN, context)


ALLOWED = [
    Request("s3:GetObject", LOG),
    Request("s3:GetObjectVersion", LOG),
    Request(
        "s3:GetObject",
        LOG.replace(HOME, f"aws-account-id={HOME}", 1).replace(
            "/vpcflowlogs/", "/aws-service=vpcflowlogs/"
        ),
    ),
    _list("vpc/"),
    _list("vpc/AWSLogs/"),
    # Snowflake's request for the bucket's region has no prefix.
    Request("s3:GetBucketLocation", ARN),
]
WRITES = [
    Request("s3:PutObject", LOG),
    Request("s3:DeleteObject", LOG),
    Request("s3:DeleteObjectVersion", LOG),
]
NEVER = [
    Request("s3:PutObjectAcl", LOG),
    Request("s3:PutObjectTagging", LOG),
    Request("s3:RestoreObject", LOG),
    Request("s3:AbortMultipartUpload", LOG),
    Request("s3:PutBucketPolicy", ARN),
    Request("s3:DeleteBucket", ARN),
    Request("s3:GetBucketPolicy", ARN),
    Request("s3:ListAllMyBuckets", "*"),
    Request("s3:ListBucketVersions", ARN, {"s3:prefix": "vpc/"}),
    Request("s3:GetObject", f"{ARN}/vpc2/secret"),
    Request("s3:GetObject", f"{ARN}/AWSLogs/{HOME}/vpcflowlogs/x"),
    _list("vpc"),
    Request("s3:GetObject", f"{ARN}/secret"),
    Request("s3:GetObject", f"{ARN}/other/vpc/secret"),
    Request("s3:GetObject", f"{ARN}-backup/vpc/secret"),
    Request("s3:PutObject", f"{ARN}/vpc2/x"),
    Request("s3:DeleteObject", f"{ARN}/secret"),
    Request("s3:GetBucketLocation", f"{ARN}-backup"),
    _list(None),
    _list(""),
    _list("vpc2"),
    _list("vpc2/"),
    _list("secret/"),
    Request("kms:Decrypt", f"{KEY}2"),
    Request("kms:Encrypt", KEY),
    Request("kms:PutKeyPolicy", KEY),
    Request("iam:PassRole", f"arn:aws:iam::{HOME}:role/x"),
    Request("sts:AssumeRole", f"arn:aws:iam::{HOME}:role/x"),
]


@pytest.mark.parametrize("request_", ALLOWED, ids=str)
def test_snowflake_may_read_below_the_prefix(request_: Request) -> None:
    assert allows(role_policy([PLACE], [HOME]), request_)


@pytest.mark.parametrize("request_", [*WRITES, *NEVER], ids=str)
def test_snowflake_may_not_write_nor_leave_the_prefix(request_: Request) -> None:
    assert not allows(role_policy([PLACE], [HOME]), request_)
    assert not allows(role_policy([PLACE], [HOME], KEY), request_)


@pytest.mark.parametrize("request_", [*ALLOWED, *WRITES], ids=str)
def test_unloading_adds_put_and_delete_below_the_prefix(request_: Request) -> None:
    assert allows(role_policy([PLACE], [HOME], allow_unload=True), request_)


@pytest.mark.parametrize("request_", NEVER, ids=str)
def test_unloading_adds_nothing_else(request_: Request) -> None:
    assert not allows(role_policy([PLACE], [HOME], KEY, allow_unload=True), request_)


def test_the_role_may_use_only_the_buckets_key() -> None:
    decrypt, data_key = Request("kms:Decrypt", KEY), Request("kms:GenerateDataKey", KEY)

    assert not allows(role_policy([PLACE], [HOME]), decrypt)
    assert allows(role_policy([PLACE], [HOME], KEY), decrypt)
    assert not allows(role_policy([PLACE], [HOME], KEY), data_key)
    assert allows(role_policy([PLACE], [HOME], KEY, allow_unload=True), data_key)


def test_without_a_prefix_only_the_logs_are_read() -> None:
    policy = role_policy([Place("aws", BUCKET, "")], [HOME])

    assert allows(
        policy, Request("s3:GetObject", f"{ARN}/AWSLogs/{HOME}/vpcflowlogs/x")
    )
    assert allows(policy, _list("AWSLogs/"))
    assert not allows(policy, Request("s3:GetObject", f"{ARN}/secret"))
    assert not allows(policy, _list(""))


@pytest.mark.parametrize(
    ("principal", "context", "expected"),
    [
        (USER, {"sts:ExternalId": EXTERNAL_ID}, True),
        (USER, {"sts:ExternalId": "another"}, False),
        (USER, {}, False),
        (f"{USER}2", {"sts:ExternalId": EXTERNAL_ID}, False),
        (f"arn:aws:iam::{HOME}:root", {"sts:ExternalId": EXTERNAL_ID}, False),
    ],
)
def test_the_role_trusts_one_user_with_one_external_id(
    principal: str, context: dict[str, str], expected: bool
) -> None:
    asked = Request("sts:AssumeRole", "*", context, ("AWS", principal))

    assert allows(trust_policy(USER, EXTERNAL_ID), asked) is expected


def _delivery(account: str, key: str, **more: str) -> Request:
    context = {
        "aws:SourceAccount": account,
        "aws:SourceArn": f"arn:aws:logs:eu-west-1:{account}:log-delivery",
        "s3:x-amz-acl": "bucket-owner-full-control",
        "aws:SecureTransport": "true",
        **more,
    }
    service = ("Service", "delivery.logs.amazonaws.com")
    return Request("s3:PutObject", f"{ARN}/{key}", context, service)


@pytest.mark.parametrize("acl", [False, True])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (_delivery(HOME, f"vpc/AWSLogs/{HOME}/vpcflowlogs/x"), True),
        (_delivery(HOME, f"vpc/AWSLogs/aws-account-id={HOME}/x"), True),
        (_delivery(OTHER, f"vpc/AWSLogs/{OTHER}/vpcflowlogs/x"), True),
        (_delivery("999988887777", f"vpc/AWSLogs/{HOME}/x"), False),
        (_delivery(HOME, "vpc/AWSLogs/999988887777/x"), False),
        (_delivery(HOME, f"AWSLogs/{HOME}/x"), False),
        (
            _delivery(HOME, f"vpc/AWSLogs/{HOME}/x", **{"s3:x-amz-acl": "private"}),
            False,
        ),
        (
            _delivery(
                HOME,
                f"vpc/AWSLogs/{HOME}/x",
                **{"aws:SourceArn": f"arn:aws:logs:us-east-1:{HOME}:x"},
            ),
            False,
        ),
        (
            _delivery(
                HOME, f"vpc/AWSLogs/{HOME}/x", **{"aws:SecureTransport": "false"}
            ),
            False,
        ),
    ],
)
def test_delivery_may_write_for_the_named_accounts_only(
    asked: Request, expected: bool, acl: bool
) -> None:
    senders = Senders([(HOME, "eu-west-1"), (OTHER, "eu-west-1")])
    ours = delivery_statements(NAMES, PLACE, senders, ask_for_acl=acl)
    ours.append(deny_plain_http(NAMES, PLACE))
    policy = policies.merge(None, ours, NAMES.sids)
    # Without the question for the header, any value of it is right.
    without = not acl and asked.context["s3:x-amz-acl"] == "private"

    assert allows(policy, asked) is (expected or without)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("organization", [None, "o-ab12cd34ef"])
def test_statements_for_many_accounts_still_name_them_or_the_organisation(
    short: bool, organization: str | None
) -> None:
    pairs = [(f"{n:012}", "eu-west-1") for n in range(600)]
    senders = Senders(pairs, organization, short)
    policy = {"Statement": delivery_statements(NAMES, PLACE, senders, False)}
    inside = {"aws:SourceOrgID": "o-ab12cd34ef"}
    outside = {"aws:SourceOrgID": "o-zz12cd34ef"}

    for folder in ("AWSLogs/", "AWSLogs/aws-account-id="):
        key = f"vpc/{folder}{pairs[7][0]}/x"
        assert allows(policy, _delivery(pairs[7][0], key, **inside))
    key = f"vpc/AWSLogs/{OTHER}/x"
    assert not allows(policy, _delivery(OTHER, key, **outside))
    assert not allows(policy, _delivery(pairs[7][0], "vpc/reports/x", **inside))
    size = len(json.dumps(policy, separators=(",", ":")))
    assert (size < 20_480) is bool(short or organization)


def test_the_keys_reader_is_the_role_and_nobody_else() -> None:
    role = f"arn:aws:iam::{HOME}:role/vpc-flow-logs-snowflake"
    policy = {
        "Statement": key_statements(NAMES, PLACE, Senders([(HOME, "eu-west-1")]), role)
    }

    assert allows(policy, Request("kms:Decrypt", KEY, principal=("AWS", role)))
    assert not allows(policy, Request("kms:Encrypt", KEY, principal=("AWS", role)))
    assert not allows(policy, Request("kms:Decrypt", KEY, principal=("AWS", USER)))


@pytest.mark.parametrize(
    ("partition", "scheme"),
    [("aws", "s3"), ("aws-us-gov", "s3gov"), ("aws-cn", "s3china"), ("aws-eusc", "s3")],
)
def test_arns_and_schemes_follow_the_partition(partition: str, scheme: str) -> None:
    place = Place(partition, BUCKET, "vpc")
    ours = delivery_statements(NAMES, place, Senders([(HOME, "x")]), True)
    text = json.dumps([ours, role_policy([place], [HOME])])

    assert place.location == f"{scheme}://{BUCKET}/vpc/"
    assert f"arn:{partition}:s3:::{BUCKET}" in text
    assert partition == "aws" or "arn:aws:" not in text


THEIRS: dict[str, Any] = {
    "Version": "2008-10-17",
    "Id": "theirs",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:Get*", "Resource": "*"},
        {"Sid": "VpcFlowLogs", "Effect": "Deny", "Principal": "*", "Action": "s3:*"},
    ],
}


def _written(value: Any, draw: Callable[[], str]) -> str:
    """Return JSON text with random blanks between its tokens."""
    if isinstance(value, dict):
        pairs = [
            f"{draw()}{json.dumps(key)}{draw()}:{draw()}{_written(below, draw)}{draw()}"
            for key, below in value.items()
        ]
        return "{" + (",".join(pairs) or draw()) + "}"
    if isinstance(value, list):
        items = [f"{draw()}{_written(item, draw)}{draw()}" for item in value]
        return "[" + (",".join(items) or draw()) + "]"
    return json.dumps(value, ensure_ascii=draw() == "")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_removing_ours_restores_their_bytes(data: st.DataObject) -> None:
    blanks = st.sampled_from(["", "", " ", "\n", "\r\n  ", "\t"])

    def draw() -> str:
        return data.draw(blanks)

    sids = st.sampled_from(["a", "b", "Zürich ]},{", NAMES.sid("Other"), None])
    theirs = data.draw(st.lists(sids, min_size=1, max_size=4))
    rest: dict[str, Any] = {"Version": "2008-10-17", "Id": "their's \\\" é"}
    found: Any = [
        {"Sid": sid, "Action": ["s3:Get*"], "Condition": {}} for sid in theirs
    ]
    keys = data.draw(st.permutations([*rest, "Statement"]))
    document = {key: rest.get(key, found) for key in keys}
    text = draw() + _written(document, draw) + draw()
    ours = delivery_statements(NAMES, PLACE, Senders([(HOME, "eu-west-1")]), True)
    later = {"Sid": "later", "Effect": "Deny"}

    merged = policies.merge(json.loads(text), ours, NAMES.sids)
    merged_text = policies.render_like(text, merged)
    assert json.loads(merged_text) == merged
    # Its owner may change it meanwhile, and the settings get another account.
    more = policies.merge(
        {**merged, "Statement": [*merged["Statement"], later]},
        delivery_statements(
            NAMES, PLACE, Senders([(HOME, "eu-west-1"), (OTHER, "eu-west-1")]), True
        ),
        NAMES.sids,
    )
    more_text = policies.render_like(merged_text, more)
    assert json.loads(more_text) == more
    less = policies.without(more, [*NAMES.sids, "later"])

    assert less is not None
    assert policies.render_like(more_text, less) == text
    left = policies.without(merged, NAMES.sids)
    assert left is not None
    assert policies.render_like(merged_text, left) == text


@pytest.mark.parametrize(
    "text", [None, "{}", '{"Statement": [ ]}', '{"Statement": {"Sid": "theirs"}}']
)
def test_a_text_without_a_list_of_statements_is_replaced(text: str | None) -> None:
    ours = delivery_statements(NAMES, PLACE, Senders([(HOME, "eu-west-1")]), True)
    merged = policies.merge(json.loads(text) if text else None, ours, NAMES.sids)

    assert json.loads(policies.render_like(text, merged)) == merged


def test_merging_twice_changes_nothing_and_keeps_the_order() -> None:
    ours = delivery_statements(NAMES, PLACE, Senders([(HOME, "eu-west-1")]), True)
    once = policies.merge(THEIRS, ours, NAMES.sids)
    once["Statement"].append({"Sid": "Later", "Effect": "Deny"})

    assert policies.merge(once, ours, NAMES.sids) == once


def test_a_statement_that_aws_rewrote_is_the_same() -> None:
    one = {"Sid": "a", "Action": ["s3:GetObject"], "Principal": {"AWS": ["y", "x"]}}
    other = {"Sid": "a", "Action": "s3:GetObject", "Principal": {"AWS": ["x", "y"]}}

    assert policies.same_statement(one, other)
    assert not policies.same_statement(one, {**other, "Action": "s3:PutObject"})


def test_two_deployments_never_share_a_name() -> None:
    """They differ in name, bucket or prefix."""
    found = [
        Names("vpc", BUCKET, ""),
        Names("vpc-flow", BUCKET, ""),
        Names("vpc", f"{BUCKET}-2", ""),
        Names("vpc", BUCKET, "vpc"),
        Names("vpc", BUCKET, "vpc/2"),
    ]

    for one, other in itertools.combinations(found, 2):
        assert not one.sids & other.sids
        assert one.mark != other.mark
        assert {one.role, one.expiry, one.events}.isdisjoint(
            {other.role, other.expiry, other.events}
        )


@pytest.mark.parametrize("name", ["v", "a" * 32, "vpc-flow-logs"])
def test_marks_and_names_fit_into_aws(name: str) -> None:
    names = Names(name, "b" * 63, "p!-_./" * 25)

    assert re.fullmatch(r"[\w .:/=+@-]{1,256}", names.mark)
    assert len(names.role) <= 64
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in names.sids)
