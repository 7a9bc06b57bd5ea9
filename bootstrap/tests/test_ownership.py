"""Who owns what: two teams, four other owners, moves, and earlier versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.naming import TAG
from bootstrap.tests.faithful import Aws, faithful
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAME,
    NAMES,
    REGION,
    USER,
    World,
    apply,
    base_settings,
    destroy,
    snapshot,
    their_bucket,
)


class Team:
    """A team with a deployment and a Snowflake account of its own.

    Args:
        world: The account.
        document: The team's ``bootstrap.yml``.
        queue: The letters at the end of its pipe's queue.
    """

    def __init__(self, world: World, document: dict[str, Any], queue: str) -> None:
        from bootstrap.tests.world import Snowflake

        self.world, self.document = world, document
        self.snowflake = Snowflake(queue=queue)

    def deployment(self, **more: Any) -> Any:
        """Return the deployment, as a new process does."""
        self.world.snowflake = self.snowflake
        return self.world.deployment(self.document, **more)


def _teams(world: World, **documents: dict[str, Any]) -> list[Team]:
    return [Team(world, document, name) for name, document in documents.items()]


# Two teams with the example file: the same name, in one account.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two buckets": ({}, {"name": "other-bucket"}),
    "two prefixes of their own bucket": (
        {"create": False, "expire_days": 5, "prefix": "one"},
        {"create": False, "expire_days": 7, "prefix": "two"},
    ),
    "one of them made the bucket": (
        {"prefix": "one", "expire_days": 5},
        {"prefix": "two", "create": False},
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_teams_with_one_name_never_touch_each_other(
    world: World, pair: str
) -> None:
    one, other = PAIRS[pair]
    if one.get("create") is False:
        their_bucket(world)
    empty = snapshot(world)
    first, second = _teams(world, a=base_settings(**one), b=base_settings(**other))
    apply(first.deployment())
    alone = snapshot(world)

    apply(second.deployment())
    both = snapshot(world)

    assert steps.plan(first.deployment()) == []
    assert steps.plan(second.deployment()) == []
    destroy(second.deployment(), delete_data=False)
    assert snapshot(world) == alone
    apply(second.deployment())
    assert snapshot(world) == both
    if "made" not in pair:
        destroy(first.deployment(), delete_data=False)
        assert steps.plan(second.deployment()) == []
        destroy(second.deployment(), delete_data=False)
        assert snapshot(world) == empty
    else:
        with pytest.raises(BootstrapError, match="others use it"):
            destroy(first.deployment())
        assert steps.plan(second.deployment()) == []


def test_another_teams_bucket_is_refused_with_its_mark(world: World) -> None:
    first, second = _teams(
        world, a=base_settings(prefix="one"), b=base_settings(prefix="two")
    )
    apply(first.deployment())
    before = snapshot(world)

    with pytest.raises(BootstrapError, match=f"its mark is {NAME}@{BUCKET}/one"):
        apply(second.deployment())

    assert snapshot(world) == before


def test_a_role_of_another_team_is_refused_with_its_mark(world: World) -> None:
    names = {"snowflake": {"role_name": "shared"}}
    first, second = _teams(
        world,
        a=base_settings(names),
        b=base_settings(names, name="other-bucket"),
    )
    apply(first.deployment())
    before = snapshot(world)["roles"]

    with pytest.raises(BootstrapError, match=f"its mark is {NAMES.mark}"):
        apply(second.deployment())

    assert snapshot(world)["roles"] == before
    destroy(second.deployment())
    assert snapshot(world)["roles"] == before


# ----- random worlds

CHANGES = ("apply", "destroy", "days", "source", "route", "drift")


def _change(team: Team, kind: str) -> None:
    document = team.document
    if kind == "days":
        days = document["bucket"].get("expire_days")
        document["bucket"]["expire_days"] = None if days else 4
    elif kind == "source":
        options = document.setdefault("flow_logs", {})
        one_minute = options.get("aggregation_seconds") == 60
        options["aggregation_seconds"] = 600 if one_minute else 60
    elif kind == "route":
        events = document.setdefault("events", {})
        chosen = events.get("route", "auto")
        events["route"] = {"auto": "none", "none": "eventbridge"}.get(chosen, "auto")
        team.snowflake.pipe_ = None


def _without(world: World, marks: list[str]) -> dict[str, Any]:
    """Return all that there is, without what bears one of the marks."""

    def marked(text: str) -> bool:
        return any(mark in text for mark in marks)

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            # A team may turn on EventBridge, and the last team turns it off.
            return {
                k: clean(v)
                for k, v in value.items()
                if not marked(k) and k != "EventBridgeConfiguration"
            }
        if isinstance(value, list):
            return [clean(v) for v in value if not marked(json.dumps(v, default=str))]
        if isinstance(value, str) and value.startswith("{"):
            return clean(json.loads(value))
        return value

    cleaned: dict[str, Any] = clean(snapshot(world))
    return cleaned


def _of_other_owners(world: World) -> None:
    """Make what other owners have beside the bucket: a flow log, a rule, a role."""
    world.aws.ec2.create_flow_logs(
        ResourceIds=world.vpcs(),
        ResourceType="VPC",
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{BUCKET}/theirs",
    )
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": ["elsewhere"]}}}
    world.aws.events.put_rule(Name="theirs", EventPattern=json.dumps(pattern))
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    world.aws.iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=trust)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_sequence_of_one_team_leaves_all_others_as_they_are(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both teams take turns; what is not theirs is the same after each turn."""
    with faithful() as aws, mock_aws():
        aws.principals.add(USER)
        world = World(tmp_path_factory.mktemp("state"))
        their_bucket(
            world, data.draw(st.sampled_from([None, "queue", "topic", "function"]))
        )
        _of_other_owners(world)
        aws.policy = data.draw(st.sampled_from(["kept", "overwritten", "appended to"]))
        prefixes = data.draw(st.sampled_from([("one", "two"), ("a", "a/b"), ("", "x")]))
        names = data.draw(st.sampled_from([(NAME, NAME), ("team", "team-b")]))
        teams = [
            Team(
                world,
                base_settings({"name": name}, create=False, prefix=prefix),
                letter,
            )
            for name, prefix, letter in zip(names, prefixes, "ab", strict=True)
        ]
        before_all = snapshot(world)
        there: dict[Team, bool] = dict.fromkeys(teams, False)
        turns = st.tuples(st.integers(0, 1), st.sampled_from(CHANGES))

        for number, kind in data.draw(st.lists(turns, max_size=5)):
            team, other = teams[number], teams[1 - number]
            marks = team.deployment().names
            ours = [marks.key, marks.mark, *marks.sids]
            theirs = _without(world, ours)
            _change(team, kind)
            if kind == "destroy":
                destroy(team.deployment(), delete_data=False)
            else:
                apply(team.deployment(replace_flow_logs=True))
                assert steps.plan(team.deployment()) == []
            there[team] = kind != "destroy"
            assert _without(world, ours) == theirs
            if there[other]:
                assert steps.plan(other.deployment()) == []

        for team in teams:
            destroy(team.deployment(), delete_data=False)
        # Byte for byte.
        assert snapshot(world) == before_all


# ----- moves


@pytest.mark.parametrize("to", [{"prefix": "new"}, {"name": "new-bucket"}])
def test_a_move_is_planned_and_the_old_place_stays_until_it_is_empty(
    world: World, to: dict[str, str]
) -> None:
    old = world.deployment(base_settings(expire_days=9))
    apply(old)
    key = f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/2026/01/01/a"
    world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    roles = list(snapshot(world)["roles"])
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    bucket: dict[str, Any] = {"moved_from": {"name": BUCKET, "prefix": "vpc"}, **to}
    if "prefix" in to:
        bucket["create"] = False
    document = base_settings(expire_days=9, **bucket)
    planned = steps.plan(world.deployment(document))
    shown = {item for change in planned for item in change.removed}

    # The plan shows that the old flow logs go.
    list(steps.apply(world.deployment(document), shown=shown))

    (log,) = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    place = world.deployment(document).place
    assert log["LogDestination"] == place.destination
    assert list(snapshot(world)["roles"]) == roles
    ((_, policies),) = snapshot(world)["roles"].values()
    assert any("keeps its name" in change.reason for change in planned)
    text = json.dumps(policies)
    # Snowflake still reads what came before.
    assert f"{BUCKET}/vpc/AWSLogs/" in text
    assert f"{place.arn}/{place.logs_prefix}" in text
    sid = NAMES.sid("DeliveryWrite")
    policy = world.aws.s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    assert sid in policy
    (name,) = roles
    document["snowflake"] = {"role_name": name}
    (note,) = steps.plan(world.deployment(document))
    assert "until its files have expired" in note.reason

    world.aws.s3.delete_object(Bucket=BUCKET, Key=key)
    versions: Any = world.aws.s3.list_object_versions(Bucket=BUCKET)
    for item in [*versions["Versions"], *versions["DeleteMarkers"]]:
        world.aws.s3.delete_object(
            Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"]
        )
    apply(world.deployment(document))

    assert steps.plan(world.deployment(document)) == []
    found = json.dumps(snapshot(world)["buckets"][BUCKET], default=str)
    assert not any(name in found for name in (*NAMES.sids, NAMES.key))
    # Nobody needs to say for ever where the logs were.
    del document["bucket"]["moved_from"]
    changes = steps.plan(world.deployment(document))
    assert [c.resource for c in changes] == [
        f"policy {NAMES.role_policy} of role {name}"
    ]


def test_without_the_earlier_place_the_other_deployment_is_another_owners(
    world: World,
) -> None:
    their_bucket(world)
    world.applied(create=False)
    before = snapshot(world)
    world.snowflake.integration_ = world.snowflake.pipe_ = None

    d = world.applied(create=False, prefix="new")
    destroy(d, delete_data=False)

    assert snapshot(world) == before


# ----- earlier versions


def _as_by_an_earlier_version(world: World, conflicting: str | None) -> None:
    """Give everything the names and tags of version 0.1."""
    s3: Any = world.aws.s3
    earlier = {new: old for old, new in NAMES.earlier_sids.items()}

    def renamed(text: str) -> str:
        for new, old in earlier.items():
            text = text.replace(new, old)
        return text

    tag: Any = [{"Key": TAG, "Value": NAME}]
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=renamed(policy))
    answer = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    rules = [r for r in answer["Rules"] if not r["ID"].startswith(NAMES.key)]
    rule = {"Prefix": "vpc/AWSLogs/"}
    days = {"Expiration": {"Days": 9}, "Status": "Enabled"}
    rules.append({"ID": f"{NAME}-expiry", "Filter": rule, **days})
    s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": rules}
    )
    ids = [log["FlowLogId"] for log in world.aws.ec2.describe_flow_logs()["FlowLogs"]]
    world.aws.ec2.create_tags(Resources=ids, Tags=tag)
    if not conflicting:
        answer = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        answer.pop("ResponseMetadata")
        for item in answer["QueueConfigurations"]:
            item["Id"] = item["Id"].replace(NAMES.events, f"{NAME}-snowpipe")
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration=answer
        )
    iam: Any = world.aws.iam
    found = iam.get_role(RoleName=NAMES.role)["Role"]
    iam.create_role(
        RoleName=f"{NAME}-snowflake",
        AssumeRolePolicyDocument=json.dumps(found["AssumeRolePolicyDocument"]),
        Tags=tag,
    )
    old_policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadObjects",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/vpc/*",
            }
        ],
    }
    iam.put_role_policy(
        RoleName=f"{NAME}-snowflake",
        PolicyName=NAMES.role_policy,
        PolicyDocument=json.dumps(old_policy),
    )
    iam.delete_role_policy(RoleName=NAMES.role, PolicyName=NAMES.role_policy)
    iam.delete_role(RoleName=NAMES.role)
    if conflicting:
        _old_bridge(world, tag)


def _old_bridge(world: World, tag: Any) -> None:
    events, sns = world.aws.events, world.aws.sns
    old = f"{NAME}-snowpipe"
    found = events.describe_rule(Name=NAMES.events)
    switch: Any = [{"Key": "vpc-flow-logs:eventbridge", "Value": "added"}]
    events.put_rule(Name=old, EventPattern=found["EventPattern"], Tags=[*tag, *switch])
    arn = sns.create_topic(Name=old, Tags=tag)["TopicArn"]
    events.put_targets(Rule=old, Targets=[{"Id": old, "Arn": arn}])
    events.remove_targets(Rule=NAMES.events, Ids=[NAMES.events])
    events.delete_rule(Name=NAMES.events)
    topics = [t["TopicArn"] for t in sns.list_topics()["Topics"]]
    sns.delete_topic(TopicArn=next(t for t in topics if NAMES.events in t))


@pytest.mark.parametrize("conflicting", [None, "queue"])
def test_what_an_earlier_version_made_is_recognised_once_and_renamed(
    world: World, conflicting: str | None
) -> None:
    their_bucket(world, conflicting)
    before = snapshot(world)
    document = base_settings(create=False, expire_days=9)
    apply(world.deployment(document))
    _as_by_an_earlier_version(world, conflicting)
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    ids = {log["FlowLogId"] for log in world.aws.ec2.describe_flow_logs()["FlowLogs"]}

    apply(world.deployment(document))

    assert steps.plan(world.deployment(document)) == []
    logs = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    assert {log["FlowLogId"] for log in logs} == ids
    assert list(snapshot(world)["roles"]) == [f"{NAME}-snowflake"]
    found = json.dumps(snapshot(world), default=str)
    assert not any(old in found for old in NAMES.earlier_sids)
    assert f"{NAME}-expiry" not in found
    destroy(world.deployment(document), delete_data=False)
    assert snapshot(world) == before


def test_a_bucket_of_an_earlier_version_gets_this_versions_mark(world: World) -> None:
    world.applied({"tags": {"team": "security"}})
    tags: Any = [{"Key": TAG, "Value": NAME}, {"Key": "theirs", "Value": "x"}]
    world.aws.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})

    (change,) = steps.apply(world.deployment(base_settings()))

    assert change.resource == f"tags of bucket {BUCKET}"
    answer = world.aws.s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]
    assert {t["Key"]: t["Value"] for t in answer} == {TAG: NAMES.mark, "theirs": "x"}


def test_an_earlier_version_of_another_team_is_left(world: World, aws: Aws) -> None:
    """The same name at another prefix, which the old mark did not have."""
    del aws
    their_bucket(world)
    document = base_settings(create=False, expire_days=9)
    apply(world.deployment(document))
    _as_by_an_earlier_version(world, None)
    before = snapshot(world)
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    other = world.deployment(base_settings(create=False, prefix="other"))

    apply(other)
    destroy(other, delete_data=False)

    assert snapshot(world) == before
