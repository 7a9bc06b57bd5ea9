"""`apply`: what it makes, what it leaves, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import yaml
from botocore.exceptions import ClientError
from moto.kms.models import kms_backends

from bootstrap import bucket, steps
from bootstrap.changes import BootstrapError, Change, retry
from bootstrap.policies import trust_policy
from bootstrap.settings import Members, load
from bootstrap.steps import Deployment
from bootstrap.tests.faithful import Aws
from bootstrap.tests.world import (
    BUCKET,
    EXTERNAL_ID,
    HOME,
    NAMES,
    REGION,
    USER,
    World,
    apply,
    base_settings,
    destroy,
    hooked,
    snapshot,
    their_bucket,
    writes,
)

ROLE = NAMES.role


def test_planning_changes_nothing(world: World) -> None:
    before = snapshot(world)
    world.recorder.start()

    changes = steps.plan(world.deployment(base_settings()))

    assert writes(world.recorder.calls) == []
    assert world.snowflake.calls == []
    assert snapshot(world) == before
    assert [c.verb for c in changes if not c.pending] == ["wait"] * 3


@pytest.mark.parametrize("theirs", [None, "nothing", "queue", "topic"])
def test_a_second_apply_makes_no_write_call(world: World, theirs: str | None) -> None:
    if theirs:
        their_bucket(world, conflicting=theirs)
    d = world.applied(create=theirs is None, expire_days=9)
    calls = list(world.snowflake.calls)
    world.recorder.start()

    apply(d)

    assert writes(world.recorder.calls) == []
    assert world.snowflake.calls == calls
    assert steps.plan(d) == []


def test_resources_of_others_survive_apply_and_destroy(
    world: World,
) -> None:
    their_bucket(world)
    before = snapshot(world)
    d = world.deployment(base_settings(create=False, expire_days=9))

    apply(d)
    during = snapshot(world)["buckets"][BUCKET]
    destroy(d, delete_data=False)

    rules = during["get_bucket_lifecycle_configuration"]["Rules"]
    policy = json.loads(during["get_bucket_policy"]["Policy"])
    theirs = json.loads(before["buckets"][BUCKET]["get_bucket_policy"]["Policy"])
    assert [rule["ID"] for rule in rules[:2]] == ["their-rule-0", "their-rule-1"]
    assert len(rules) == 4
    assert policy["Statement"][:2] == theirs["Statement"]
    assert policy["Id"] == "theirs"
    # The policy is compared as text: byte for byte.
    assert snapshot(world) == before


@pytest.mark.parametrize(
    ("is_there", "bucket", "words"),
    [
        (True, {"create": True}, "was not made by this deployment"),
        (False, {"create": False}, r"does not exist .* set bucket\.create"),
        (True, {"region": "eu-west-3"}, f"is in {REGION}: correct bucket.region"),
    ],
)
def test_a_bucket_that_is_not_as_the_settings_say_is_refused(
    world: World, is_there: bool, bucket: dict[str, Any], words: str
) -> None:
    if is_there:
        their_bucket(world)

    with pytest.raises(BootstrapError, match=words):
        steps.plan(world.deployment(base_settings(**bucket)))


def test_a_new_bucket_may_have_no_versioning(world: World) -> None:
    d = world.applied(versioning=False)

    found = snapshot(world)["buckets"][BUCKET]["get_bucket_versioning"]
    assert "Status" not in found
    assert steps.plan(d) == []


def test_a_new_bucket_is_private_encrypted_versioned_and_tagged(world: World) -> None:
    world.applied({"tags": {"team": "security"}})
    found = snapshot(world)["buckets"][BUCKET]

    block = found["get_public_access_block"]["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert len(block) == 4
    assert found["get_bucket_versioning"]["Status"] == "Enabled"
    rule = found["get_bucket_encryption"]["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    ownership = found["get_bucket_ownership_controls"]["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    tags = {t["Key"]: t["Value"] for t in found["get_bucket_tagging"]["TagSet"]}
    assert tags == {"team": "security", "vpc-flow-logs:deployment": NAMES.mark}


def test_an_account_regional_name_is_made_in_its_namespace(world: World) -> None:
    seen: list[Any] = []
    name = f"acme-{HOME}-{REGION}-an"
    d = world.deployment(base_settings(name=name))
    events, call = d.home.s3.meta.events, "before-parameter-build.s3.CreateBucket"

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.append(params.get("BucketNamespace"))

    with hooked(events, call, note):
        apply(d)

    assert seen == ["account-regional"]
    assert steps.plan(d) == []


def test_path_and_boundary_of_the_role_are_those_of_the_settings(world: World) -> None:
    boundary = f"arn:aws:iam::{HOME}:policy/limits"
    given = {"role_path": "/data/logs/", "permissions_boundary": boundary}
    key = _key(world)
    d = world.deployment(
        {**_with_key(key, create=True), "snowflake": given, "tags": {"team": "a"}}
    )
    apply(d)

    role = world.aws.iam.get_role(RoleName=ROLE)["Role"]
    assert role["Arn"] == f"arn:aws:iam::{HOME}:role/data/logs/{ROLE}"
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    # All that name the role name it with its path.
    assert world.snowflake.calls[0][1][0] == role["Arn"]
    assert role["Arn"] in snapshot(world, key)["key policy"]
    assert steps.plan(d) == []


How = Literal["overwritten", "appended to"]


def _changed_by_aws(world: World, aws: Aws, how: How) -> Deployment:
    their_bucket(world)
    aws.policy = how
    return world.deployment(base_settings(create=False))


def _policy(world: World) -> str:
    text: str = world.aws.s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    return text


@pytest.mark.parametrize("how", get_args(How))
def test_a_policy_that_aws_changed_is_restored(
    world: World, aws: Aws, how: How
) -> None:
    d = _changed_by_aws(world, aws, how)
    before = _policy(world)
    for change in steps.apply(d):
        if change.resource.startswith("flow logs"):
            changed = _policy(world)
    after = _policy(world)

    assert "AWSLogDeliveryWrite1" in changed
    assert ("TheirReaders" in changed) is (how == "appended to")
    theirs, ours = json.loads(before), json.loads(after)
    assert ours["Statement"][:2] == theirs["Statement"]
    sids = [statement.get("Sid") for statement in ours["Statement"][2:]]
    assert sids == [NAMES.sid("DeliveryWrite"), NAMES.sid("DeliveryCheck")]
    assert not d.journal.path.exists()
    assert steps.plan(d) == []

    destroy(d, delete_data=False)

    assert _policy(world) == before


def test_without_a_copy_of_the_policy_no_flow_log_is_created(world: World) -> None:
    their_bucket(world)
    d = world.deployment(base_settings(create=False))
    assert d.home.account_id
    world.recorder.start()
    apply(d)
    creation = world.recorder.calls.index("CreateFlowLogs")
    destroy(d)

    world.recorder.start(refuse=creation - 1)
    with pytest.raises(BootstrapError, match="GetBucketPolicy"):
        apply(d)

    assert "CreateFlowLogs" not in world.recorder.calls


def test_every_deployment_has_its_own_journal(world: World) -> None:
    found = [
        world.deployment(base_settings(**more)).journal
        for more in ({}, {"name": "another-bucket"}, {"prefix": "other"})
    ]

    for number, journal in enumerate(found):
        journal.save(json.dumps({"Id": str(number), "Statement": []}))

    texts = [json.loads(journal.read() or "{}")["Id"] for journal in found]
    assert texts == ["0", "1", "2"]


def test_an_old_copy_of_the_policy_is_left_to_people(
    world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = _changed_by_aws(world, aws, "overwritten")
    journal = d.journal
    journal.save(_policy(world))
    assert journal.read()

    monkeypatch.setattr("bootstrap.bucket.JOURNAL_SECONDS", -1)

    assert journal.read() is None


def test_apply_waits_until_iam_finds_a_new_user(world: World, aws: Aws) -> None:
    aws.unseen = 3
    d = world.deployment(base_settings())

    apply(d)

    assert len(world.slept) == 3
    assert any("UpdateAssumeRolePolicy" in line for line in world.said)
    role = world.aws.iam.get_role(RoleName=ROLE)["Role"]
    trust: Any = role["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Principal"] == {"AWS": USER}
    assert trust["Statement"][0]["Condition"] == {
        "StringEquals": {"sts:ExternalId": EXTERNAL_ID}
    }


def test_a_user_that_iam_never_finds_is_an_error(world: World, aws: Aws) -> None:
    aws.principals.clear()

    with pytest.raises(BootstrapError, match="UpdateAssumeRolePolicy"):
        world.applied()

    assert sum(world.slept) == 300


def test_nobody_can_assume_the_role_before_the_handshake(world: World) -> None:
    d = world.deployment(base_settings())
    for change in steps.plan(d):
        if change.resource == f"role {ROLE}":
            assert change.apply is not None
            change.apply()

    found = world.aws.iam.get_role(RoleName=ROLE)["Role"]
    trust: Any = found["AssumeRolePolicyDocument"]
    condition = trust["Statement"][0]["Condition"]["StringEquals"]
    assert len(condition["sts:ExternalId"]) > 40


def test_another_owners_role_with_our_name_is_refused(world: World) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    world.aws.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))

    with pytest.raises(BootstrapError, match="was not made by this deployment"):
        steps.plan(world.deployment(base_settings()))


def test_a_trust_that_was_changed_is_shown_without_the_external_id(
    world: World,
) -> None:
    d = world.applied()
    trust = trust_policy(f"arn:aws:iam::{HOME}:root", EXTERNAL_ID)
    world.aws.iam.update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=json.dumps(trust)
    )

    (change,) = steps.plan(d)
    text = "\n".join([*change.as_lines(), json.dumps(change.as_json())])

    assert change.resource == f"trust of role {ROLE}"
    assert "********" in text
    assert EXTERNAL_ID not in text


def _their_encrypted_bucket(world: World, key: str | None) -> None:
    their_bucket(world)
    default: Any = {"SSEAlgorithm": "aws:kms"} | (
        {"KMSMasterKeyID": key} if key else {}
    )
    rule: Any = {"ApplyServerSideEncryptionByDefault": default}
    world.aws.s3.put_bucket_encryption(
        Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )


def _key(world: World) -> str:
    arn: str = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def _with_key(key: str, create: bool = False, **more: Any) -> dict[str, Any]:
    encryption = {"type": "sse-kms", "key_arn": key, **more}
    return base_settings(create=create, encryption=encryption)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("1234abcd", "key 1234abcd, which is an id: log delivery needs the key's ARN"),
        ("alias/logs", "key alias/logs, which is an alias"),
        (f"arn:aws:kms:{REGION}:{HOME}:key/1", "set bucket.encryption to type"),
        (None, "with the AWS managed key"),
    ],
)
def test_an_existing_bucket_with_another_key_is_refused(
    world: World, key: str | None, words: str
) -> None:
    _their_encrypted_bucket(world, key)

    with pytest.raises(BootstrapError, match=words):
        steps.plan(world.deployment(base_settings(create=False)))


def test_an_existing_bucket_without_the_key_is_refused(world: World) -> None:
    their_bucket(world)

    with pytest.raises(BootstrapError, match="is not encrypted with key"):
        steps.plan(world.deployment(_with_key(_key(world))))


def test_statements_in_the_key_of_an_existing_bucket_come_and_go(world: World) -> None:
    key = _key(world)
    _their_encrypted_bucket(world, key)
    before = snapshot(world, key)
    d = world.deployment(_with_key(key))

    apply(d)
    during = json.loads(snapshot(world, key)["key policy"])
    destroy(d, delete_data=False)

    assert [statement["Sid"] for statement in during["Statement"][-2:]] == [
        NAMES.sid("KeyDelivery"),
        NAMES.sid("KeySnowflake"),
    ]
    assert snapshot(world, key) == before


def test_a_key_that_others_manage_is_left_with_a_note_for_its_owner(
    world: World,
) -> None:
    key = _key(world).replace(HOME, "210987654321")
    with pytest.raises(BootstrapError, match=r"another account.*manage_key_policy"):
        steps.plan(world.deployment(_with_key(key, create=True)))
    d = world.deployment(_with_key(key, create=True, manage_key_policy=False))
    world.recorder.start()

    apply(d)

    assert "PutKeyPolicy" not in world.recorder.calls
    (note,) = steps.plan(d)
    assert (note.verb, note.resource) == ("note", f"policy of key {key}")
    assert [statement["Sid"] for statement in note.after] == [
        NAMES.sid("KeyDelivery"),
        NAMES.sid("KeySnowflake"),
    ]


def test_a_key_that_delivery_cannot_use_is_refused(world: World) -> None:
    key = _key(world)
    document = _with_key(key, create=True)
    world.aws.kms.disable_key(KeyId=key.rpartition("/")[2])
    with pytest.raises(BootstrapError, match="is not enabled"):
        steps.plan(world.deployment(document))

    kms_backends[HOME][REGION].keys[key.rpartition("/")[2]].key_manager = "AWS"
    with pytest.raises(BootstrapError, match="is managed by AWS"):
        steps.plan(world.deployment(document))

    missing = _with_key(f"{key.rpartition('/')[0]}/1", create=True)
    with pytest.raises(BootstrapError, match="does not exist"):
        steps.plan(world.deployment(missing))


def test_a_policy_beyond_twenty_kilobytes_is_refused_beforehand(world: World) -> None:
    document = base_settings()
    ids = [f"{number:012d}" for number in range(1, 802)]
    document["sources"] += [
        {"account_id": i, "regions": [REGION], "all": True} for i in ids
    ]

    with pytest.raises(BootstrapError, match="AWS allows 20480"):
        steps.plan(world.deployment(document))


@pytest.mark.parametrize(("accounts", "named"), [(9, True), (800, False)])
def test_many_accounts_are_named_by_their_organisation(
    world: World, tmp_path: Path, accounts: int, named: bool
) -> None:
    ids = [f"{number:012d}" for number in range(1, accounts + 1)]
    chosen = {"organization": True, "role_name": "admin", "regions": [REGION]}
    document = {**base_settings(), "sources": {**chosen, "all": True}}
    path = tmp_path / "bootstrap.yml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    organization = "o-ab12cd34ef"
    settings = load(path, {}, (), lambda _: Members(ids, HOME, organization))
    d = replace(world.deployment(base_settings()), settings=settings)

    text = json.dumps(bucket.delivery(d.home, settings, d.journal).content)

    assert (ids[-1] in text) is named
    assert (organization in text) is not named
    assert len(text) < 20_480


def test_the_other_transition_setting_is_written_back(world: World) -> None:
    their_bucket(world)
    d = world.deployment(base_settings(create=False, expire_days=9))
    seen: list[dict[str, Any]] = []

    def answer(parsed: dict[str, Any], **_: Any) -> None:
        parsed["TransitionDefaultMinimumObjectSize"] = "varies_by_storage_class"

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.append(dict(params))

    events, call = d.home.s3.meta.events, "s3.{}BucketLifecycleConfiguration"
    with (
        hooked(events, f"after-call.{call.format('Get')}", answer),
        hooked(events, f"before-parameter-build.{call.format('Put')}", note),
    ):
        apply(d)

    assert seen[0]["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"


def test_a_retry_gives_up_on_every_other_error(world: World) -> None:
    def call() -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutRolePolicy")

    with pytest.raises(ClientError):
        retry(Change("run", "x", "y", apply=call), 9, print, world.slept.append)
    assert world.slept == []
