"""What belongs to others: nothing of theirs is changed, read or removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.tests.evaluator import Request, allows
from bootstrap.tests.faithful import Aws
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    OTHER,
    REGION,
    Crash,
    World,
    apply,
    base_settings,
    destroy,
    hooked,
    refusal,
    their_bucket,
)


def _logs_of(service: str, prefix: str = "", account: str = HOME) -> list[str]:
    """Return keys below ``AWSLogs/``, as AWS's services write them."""
    day = f"{REGION}/2026/01/01/a.log.parquet"
    hive = f"aws-account-id={account}/aws-service={service}/aws-region={REGION}/a"
    return [
        f"{prefix}AWSLogs/{account}/{service}/{day}",
        f"{prefix}AWSLogs/{hive}",
    ]


SERVICES = ("CloudTrail", "Config", "elasticloadbalancing", "vpcflowlogs2", "WAFLogs")


@pytest.mark.parametrize("prefix", ["", "vpc"])
def test_only_flow_logs_of_our_accounts_expire_and_are_read(
    world: World, prefix: str
) -> None:
    their_bucket(world)
    world.applied(create=False, expire_days=9, prefix=prefix)
    folder = f"{prefix}/" if prefix else ""
    answer: Any = world.aws.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    prefixes = [
        rule["Filter"]["Prefix"]
        for rule in answer["Rules"]
        if not rule["ID"].startswith("their-")
    ]
    (role,) = world.aws.iam.list_roles()["Roles"]
    (name,) = world.aws.iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    policy: Any = world.aws.iam.get_role_policy(
        RoleName=role["RoleName"], PolicyName=name
    )["PolicyDocument"]

    def read(key: str) -> bool:
        arn = f"arn:aws:s3:::{BUCKET}/{key}"
        return allows(policy, Request("s3:GetObject", arn))

    for key in _logs_of("vpcflowlogs", folder):
        assert any(key.startswith(p) for p in prefixes), key
        assert read(key), key
    theirs = [key for service in SERVICES for key in _logs_of(service, folder)]
    for key in [*theirs, *_logs_of("vpcflowlogs", folder, OTHER), f"{folder}x"]:
        assert not any(key.startswith(p) for p in prefixes), key
        assert not read(key), key
    assert not any("=" in json.dumps(rule) for rule in _notifications(world))


def _notifications(world: World) -> list[Any]:
    answer = _configuration(world, "notification")
    return [item for key, items in answer.items() if "Conf" in key for item in items]


def _configuration(world: World, name: str) -> Any:
    """Return a configuration of the bucket; empty if there is none."""
    with suppress(ClientError):
        get = getattr(world.aws.s3, f"get_bucket_{name}_configuration")
        answer = get(Bucket=BUCKET)
        answer.pop("ResponseMetadata")
        return answer
    return {}


# ----- access that its owner revokes


def _bucket_policy(world: World) -> Any:
    return json.loads(world.aws.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])


def _put_bucket_policy(world: World, policy: Any) -> None:
    world.aws.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))


def _sids(world: World) -> list[Any]:
    return [statement.get("Sid") for statement in _bucket_policy(world)["Statement"]]


def _crash_after_creating_flow_logs(d: Any) -> None:
    def die() -> None:
        raise Crash

    with _once(d.home.ec2, "after-call.ec2.CreateFlowLogs", die), suppress(Crash):
        apply(d)
    assert d.journal.path.exists()


@pytest.mark.parametrize("order", ["apply", "destroy"])
@pytest.mark.parametrize("how", ["kept", "appended to"])
def test_access_that_its_owner_revoked_is_not_given_back(
    world: World, aws: Aws, how: Any, order: str
) -> None:
    their_bucket(world)
    d = world.deployment(base_settings(create=False))
    aws.policy = how
    _crash_after_creating_flow_logs(d)

    policy = _bucket_policy(world)
    policy["Statement"] = [
        s for s in policy["Statement"] if s.get("Sid") != "TheirReaders"
    ]
    _put_bucket_policy(world, policy)
    if order == "apply":
        apply(d)
    else:
        destroy(d, delete_data=False)

    assert "TheirReaders" not in _sids(world)
    # An owner who lets them in again is free to do so.
    assert None in _sids(world)


# ----- what others change at the same time


@dataclass
class Document:
    """A document that we share with others.

    Args:
        service: The service that has it.
        get: The call by which the program reads it.
        put: The call by which the program writes it.
        read: Reads it for another owner.
        write: Writes it for another owner.
        items: The key of what each owner adds to it.
        item: Returns what another owner adds, from its name and the document.
        refusal: Code and message with which AWS refuses a call that may be repeated.
    """

    service: str
    get: str
    put: str
    read: Callable[[World], Any]
    write: Callable[[World, Any], object]
    items: str
    item: Callable[[str, Any], dict[str, Any]]
    refusal: tuple[str, str] = ("OperationAborted", "in progress")

    def add(self, world: World, name: str) -> None:
        """Let another owner add something."""
        found = self.read(world)
        found.setdefault(self.items, []).append(self.item(name, found))
        self.write(world, found)


def _their_statement(name: str, policy: Any) -> dict[str, Any]:
    return {**policy["Statement"][0], "Sid": name}


def _their_rule(name: str, _: Any) -> dict[str, Any]:
    days, prefix = {"Days": 3}, {"Prefix": f"{name}/"}
    return {"ID": name, "Status": "Enabled", "Filter": prefix, "Expiration": days}


def _their_notification(name: str, _: Any) -> dict[str, Any]:
    prefix = {"Name": "prefix", "Value": f"{name}/"}
    return {
        "Id": name,
        "QueueArn": f"arn:aws:sqs:{REGION}:{HOME}:theirs",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [prefix]}},
    }


def _topic(world: World) -> str:
    (topic,) = world.aws.sns.list_topics()["Topics"]
    return topic["TopicArn"]


def _topic_policy(world: World) -> Any:
    found = world.aws.sns.get_topic_attributes(TopicArn=_topic(world))
    return json.loads(found["Attributes"]["Policy"])


def _key_policy(world: World) -> Any:
    (key,) = world.aws.kms.list_keys()["Keys"]
    answer = world.aws.kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")
    return json.loads(answer["Policy"])


def _put_key_policy(world: World, policy: Any) -> None:
    (key,) = world.aws.kms.list_keys()["Keys"]
    world.aws.kms.put_key_policy(
        KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy)
    )


DOCUMENTS = {
    "bucket policy": Document(
        "s3",
        "GetBucketPolicy",
        "PutBucketPolicy",
        _bucket_policy,
        _put_bucket_policy,
        "Statement",
        _their_statement,
    ),
    "lifecycle rules": Document(
        "s3",
        "GetBucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        lambda world: _configuration(world, "lifecycle"),
        lambda world, found: world.aws.s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": found["Rules"]}
        ),
        "Rules",
        _their_rule,
    ),
    "notifications": Document(
        "s3",
        "GetBucketNotificationConfiguration",
        "PutBucketNotificationConfiguration",
        lambda world: _configuration(world, "notification"),
        lambda world, found: world.aws.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration=found
        ),
        "QueueConfigurations",
        _their_notification,
        (
            "InvalidArgument",
            "Unable to validate the following destination configurations",
        ),
    ),
    "topic policy": Document(
        "sns",
        "GetTopicAttributes",
        "SetTopicAttributes",
        _topic_policy,
        lambda world, policy: world.aws.sns.set_topic_attributes(
            TopicArn=_topic(world),
            AttributeName="Policy",
            AttributeValue=json.dumps(policy),
        ),
        "Statement",
        _their_statement,
        ("InvalidParameter", "Invalid parameter: Policy Error: PrincipalNotFound"),
    ),
    "key policy": Document(
        "kms",
        "GetKeyPolicy",
        "PutKeyPolicy",
        _key_policy,
        _put_key_policy,
        "Statement",
        _their_statement,
        ("MalformedPolicyDocumentException", "one or more invalid principals"),
    ),
}


def _shared(world: World, kind: str) -> dict[str, Any]:
    """Return settings by which the program writes to a document of others."""
    their_bucket(world, "topic" if kind == "topic policy" else None)
    if kind != "key policy":
        return base_settings(create=False, expire_days=9)
    key = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    default: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule: Any = {"ApplyServerSideEncryptionByDefault": default}
    world.aws.s3.put_bucket_encryption(
        Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    return base_settings(create=False, encryption={"type": "sse-kms", "key_arn": key})


@contextmanager
def _once(
    client: Any,
    event: str,
    act: Callable[[], object],
    refused: tuple[str, str] | None = None,
) -> Iterator[list[bool]]:
    """Let another owner act once, at a moment of the program's own calls.

    Args:
        client: The program's client.
        event: The moment, as botocore names it.
        act: What the owner does, with clients of their own.
        refused: Code and message with which AWS refuses the program's call.
    """
    done: list[bool] = []

    def hook(**_: Any) -> Any:
        if done:
            return None
        done.append(True)
        act()
        return refusal(*refused, status=409) if refused else None

    with hooked(client.meta.events, event, hook):
        yield done


@pytest.mark.parametrize("order", ["apply", "destroy"])
@pytest.mark.parametrize("moment", ["refused", "read"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_what_others_write_meanwhile_is_kept(
    world: World, kind: str, moment: str, order: str
) -> None:
    document = DOCUMENTS[kind]
    d = world.deployment(_shared(world, kind))
    run: Callable[[Any], object] = apply
    if order == "destroy":
        apply(d)
        run = lambda d: destroy(d, delete_data=False)  # noqa: E731
    client = getattr(d.home, document.service)
    event = f"before-call.*.{document.put}"
    refused: tuple[str, str] | None = document.refusal
    if moment == "read":
        event, refused = f"after-call.*.{document.get}", None
    theirs = "Meanwhile"

    with _once(client, event, lambda: document.add(world, theirs), refused) as done:
        run(d)

    assert done
    held = json.dumps(document.read(world))
    assert theirs in held
    if order == "apply":
        assert steps.plan(d) == []
    else:
        ours = (*NAMES.sids, NAMES.key)
        assert not any(name in held for name in ours)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_write_that_others_undo_at_the_same_moment_is_repeated(
    world: World, kind: str
) -> None:
    """They read before our write, and write after it: ours is missing."""
    document = DOCUMENTS[kind]
    d = world.deployment(_shared(world, kind))
    client = getattr(d.home, document.service)
    before = document.read(world)

    def restore() -> None:
        document.write(world, before)

    with _once(client, f"after-call.*.{document.put}", restore) as done:
        apply(d)

    assert done
    assert steps.plan(d) == []


# ----- a bucket that others use


def _objects(world: World, *keys: str) -> None:
    for key in keys:
        world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")


def _others_log(world: World) -> None:
    world.aws.ec2.create_flow_logs(
        ResourceIds=world.vpcs(),
        ResourceType="VPC",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{BUCKET}/vpc",
    )


def _adds(kind: str) -> Callable[[World], None]:
    return lambda world: DOCUMENTS[kind].add(world, "Theirs")


USES: dict[str, tuple[Callable[[World], None], str]] = {
    "statement": (_adds("bucket policy"), "statement `Theirs`"),
    "notification": (_adds("notifications"), "notification `Theirs`"),
    "rule": (_adds("lifecycle rules"), "lifecycle rule `Theirs`"),
    "flow log": (_others_log, "flow log fl-"),
    "objects": (
        lambda w: _objects(w, *(f"reports/{n}" for n in range(3))),
        "3 objects in `reports/`",
    ),
    "other logs": (
        lambda w: _objects(w, f"vpc/{_logs_of('CloudTrail')[0]}"),
        f"1 object in `vpc/AWSLogs/{HOME}/CloudTrail/`",
    ),
}


@pytest.mark.parametrize("use", USES)
def test_our_bucket_stays_with_its_data_if_others_use_it(
    world: World, use: str
) -> None:
    d = world.applied()
    act, words = USES[use]
    world.session.client("sqs", region_name=REGION).create_queue(QueueName="theirs")
    act(world)
    (log, *_) = [
        found["FlowLogId"]
        for found in world.aws.ec2.describe_flow_logs()["FlowLogs"]
        if found["LogDestination"].endswith("/vpc/")
    ]
    ours = f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/2026/01/01/{HOME}_{log}_a.gz"
    _objects(world, ours)
    before = _keys(world)

    with pytest.raises(BootstrapError) as caught:
        destroy(d)

    assert words in str(caught.value)
    assert _keys(world) == [key for key in before if key != ours]
    assert world.aws.s3.list_buckets()["Buckets"]
    assert world.aws.iam.list_roles()["Roles"] == []


def _keys(world: World) -> list[str]:
    answer: Any = world.aws.s3.list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in answer.get("Contents", [])]


# ----- one failure


def test_one_vpc_that_fails_stops_nothing_else(world: World, aws: Aws) -> None:
    their_bucket(world)
    bad, *_ = world.vpcs()
    good = world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    aws.fails[bad], aws.policy = "400", "overwritten"
    d = world.deployment(base_settings(create=False))

    with pytest.raises(BootstrapError) as caught:
        apply(d)

    assert f"{bad}: 400: as the test sets it" in str(caught.value)
    logs = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    assert [log["ResourceId"] for log in logs] == [good]
    # AWS overwrote the policy for the other flow log.
    assert "TheirReaders" in _sids(world)
    assert _notifications(world)
    aws.fails.clear()
    apply(d)
    assert steps.plan(d) == []


def test_one_account_that_is_closed_stops_nothing_else(world: World) -> None:
    sources = [
        {"account_id": OTHER, "regions": [REGION], "all": True},
        {"account_id": HOME, "regions": [REGION], "all": True},
    ]
    d = world.deployment(base_settings({"sources": sources}))

    with pytest.raises(BootstrapError, match=f"not for {OTHER}"):
        apply(d)

    logs = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    assert [log["ResourceId"] for log in logs] == world.vpcs()
    assert _notifications(world)


def test_a_key_that_is_disabled_stops_nothing_else(world: World) -> None:
    document = _shared(world, "key policy")
    key = document["bucket"]["encryption"]["key_arn"]
    world.aws.kms.disable_key(KeyId=key.rpartition("/")[2])
    d = world.deployment(document)

    with pytest.raises(BootstrapError, match=f"key {key} is not enabled"):
        apply(d)

    assert world.aws.ec2.describe_flow_logs()["FlowLogs"]
    assert _notifications(world)


@pytest.mark.parametrize("order", ["apply", "destroy"])
def test_a_queue_of_others_that_is_gone_stops_nothing(world: World, order: str) -> None:
    """S3 checks every destination of the whole document, also those of others."""
    their_bucket(world)
    d = world.applied(create=False)
    queue = f"arn:aws:sqs:{REGION}:{HOME}:theirs"
    if order == "apply":
        mine = [i for i in _notifications(world) if "vpc-flow" in i["Id"]]
        assert len(mine) == 1
        destroy(d, delete_data=False)
        world.snowflake.integration_ = world.snowflake.pipe_ = None
    skipped: list[bool] = []

    def refuse(params: Any, **_: Any) -> Any:
        if "x-amz-skip-destination-validation" in params["headers"]:
            skipped.append(True)
            return None
        return refusal(
            "InvalidArgument",
            "Unable to validate the following destination configurations",
            400,
            ArgumentName1=f"{queue}, null",
            ArgumentValue1="The destination queue does not exist",
        )

    event = "before-call.s3.PutBucketNotificationConfiguration"
    with hooked(d.home.s3.meta.events, event, refuse):
        if order == "apply":
            apply(d)
        else:
            destroy(d, delete_data=False)

    assert skipped
    ours = [item for item in _notifications(world) if "vpc-flow" in item["Id"]]
    assert len(ours) == (order == "apply")
    assert any("their-queue" in item["Id"] for item in _notifications(world))


# ----- documents of an old form, busy buckets, sources that overlap


def test_lifecycle_rules_of_the_old_form_get_one_of_their_form(world: World) -> None:
    their_bucket(world)
    old: Any = {
        "Rules": [
            {
                "ID": "theirs",
                "Status": "Enabled",
                "Prefix": "reports/",
                "Expiration": {"Days": 30},
            }
        ]
    }
    world.aws.s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration=old
    )
    before = _configuration(world, "lifecycle")
    d = world.deployment(base_settings(create=False, expire_days=9))

    apply(d)

    answer: Any = world.aws.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    assert answer["Rules"][0] == old["Rules"][0]
    assert all("Prefix" in rule and "Filter" not in rule for rule in answer["Rules"])
    assert steps.plan(d) == []
    destroy(d, delete_data=False)
    assert _configuration(world, "lifecycle") == before


def test_a_bucket_that_is_busy_is_asked_again(world: World) -> None:
    """Every call that writes to the bucket is refused once."""
    d = world.deployment(base_settings(expire_days=9))
    refused: set[str] = set()

    def refuse(model: Any, **_: Any) -> Any:
        if model.name in refused or not model.name.startswith(("Put", "Create")):
            return None
        refused.add(model.name)
        return refusal("OperationAborted", "in progress", 409)

    with hooked(d.home.s3.meta.events, "before-call.s3.*", refuse):
        apply(d)

    assert len(refused) == 7
    assert steps.plan(d) == []


def _sources(*sources: dict[str, Any]) -> dict[str, Any]:
    return base_settings(
        {"sources": [{"account_id": HOME, "regions": [REGION], **s} for s in sources]}
    )


@pytest.mark.parametrize(
    "sources",
    [
        [{"all": True}, {"all": True}],
        [{"all": True}, {"ids": ["vpc-1"]}],
        [{"all": True}, {"tags": {"a": "b"}}],
        [{"ids": ["vpc-1", "vpc-2"]}, {"ids": ["vpc-2"]}],
        [{"tags": {"a": "b"}}, {"tags": {"a": "b"}, "regions": [REGION, "us-east-1"]}],
    ],
)
def test_sources_that_repeat_a_resource_are_refused(
    sources: list[dict[str, Any]],
) -> None:
    from bootstrap.settings import Settings

    with pytest.raises(ValueError, match="every record would come twice"):
        Settings.model_validate(_sources(*sources))


@pytest.mark.parametrize("inner", ["subnet", "network-interface"])
@pytest.mark.parametrize("by", ["ids", "tags"])
def test_sources_that_overlap_in_the_account_are_refused(
    world: World, inner: str, by: str
) -> None:
    ec2 = world.aws.ec2
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    chosen = {
        "subnet": subnet,
        "network-interface": interface["NetworkInterfaceId"],
    }[inner]
    ec2.create_tags(Resources=[chosen], Tags=[{"Key": "a", "Value": "b"}])
    choice: dict[str, Any] = {"ids": [chosen]} if by == "ids" else {"tags": {"a": "b"}}
    document = _sources({"ids": [vpc]}, {**choice, "resource_type": inner})

    with pytest.raises(BootstrapError) as caught:
        steps.plan(world.deployment(document))

    for words in (chosen, vpc, "every record would come twice"):
        assert words in str(caught.value)


def test_two_tags_of_one_vpc_are_refused(world: World) -> None:
    vpc = world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    tags: Any = [{"Key": k, "Value": "x"} for k in ("a", "b")]
    world.aws.ec2.create_tags(Resources=[vpc], Tags=tags)
    document = _sources({"tags": {"a": "x"}}, {"tags": {"b": "x"}})

    with pytest.raises(BootstrapError, match="every record would come twice"):
        steps.plan(world.deployment(document))
