"""The description as code: Terraform or CloudFormation, for a pipeline that applies it.

What is ours is whole. For another owner's bucket, topic or key, a file has the parts
that its owner pastes. Values of Snowflake's are variables, and no secret is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bootstrap.description import Resource
from bootstrap.snowflake import Integration
from bootstrap.steps import Deployment, describe

OWNER = "for_the_owner.json"
USER = "snowflake_user_arn"
EXTERNAL_ID = "snowflake_external_id"
QUEUE = "snowpipe_queue_arn"
VARIABLES = {
    USER: "STORAGE_AWS_IAM_USER_ARN of the storage integration",
    EXTERNAL_ID: "STORAGE_AWS_EXTERNAL_ID of the storage integration",
    QUEUE: "notification_channel of the pipe",
}


@dataclass(frozen=True)
class Variable:
    """A value of Snowflake's, which the pipeline gives.

    Args:
        name: Its name in Terraform.
    """

    name: str


def export(d: Deployment, form: str) -> dict[str, str]:
    """Return the text of each file.

    Args:
        d: The deployment, whose description is written.
        form: ``terraform`` or ``cloudformation``.
    """
    # The names of variables in place of Snowflake's values.
    unknown = Integration(iam_user_arn=USER, external_id=EXTERNAL_ID)
    resources = [
        replace(resource, content=_with_variables(resource.content))
        for resource in describe(d, unknown, QUEUE)
    ]
    whole = [resource for resource in resources if resource.ours]
    files = terraform(whole) if form == "terraform" else cloudformation(whole)
    theirs = [resource for resource in resources if not resource.ours]
    if theirs:
        found = [{"kind": r.kind, "of": r.name, "content": r.content} for r in theirs]
        files[OWNER] = json.dumps(found, indent=2, default=vars) + "\n"
    return files


def _with_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_variables(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_with_variables(item) for item in value]
    return Variable(value) if value in VARIABLES else value


def _document(statements: Sequence[Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _tags(content: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in content["Tags"]}


def _contents(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the content of each kind that is there once."""
    return {r.kind: r.content for r in resources if r.kind != "flow log"}


# ----- Terraform


@dataclass(frozen=True)
class Raw:
    """An expression of Terraform's, such as a reference.

    Args:
        text: The expression.
    """

    text: str


@dataclass(frozen=True)
class Json:
    """A document that Terraform takes as text.

    Args:
        value: The document.
    """

    value: Any


Body = dict[str, Any]
"""Attributes, and lists of bodies for nested blocks."""


def terraform(resources: Sequence[Resource]) -> dict[str, str]:
    """Return ``main.tf`` for resources that are wholly ours."""
    home = resources[0]
    places = sorted({(r.account, r.region) for r in resources})
    used = json.dumps([r.content for r in resources], default=lambda v: v.name)
    variables = [name for name in VARIABLES if name in used or name != QUEUE]
    blocks = [_block("terraform", [], {"required_providers": [{"aws": _PROVIDER}]})]
    blocks += [
        _block(
            "variable",
            [name],
            {
                "type": Raw("string"),
                "description": VARIABLES[name],
                "sensitive": name == EXTERNAL_ID,
            },
        )
        for name in variables
    ]
    blocks += [
        _block(
            "provider",
            ["aws"],
            {
                "alias": _alias(account, region),
                "region": region,
                "allowed_account_ids": [account],
            },
        )
        for account, region in places
    ]
    for kind, label, body in _terraform_resources(resources):
        place = body.pop("place", (home.account, home.region))
        provider = Raw(f"aws.{_alias(*place)}")
        blocks.append(_block("resource", [kind, label], {"provider": provider, **body}))
    return {"main.tf": "\n".join(blocks)}


_PROVIDER = {"source": "hashicorp/aws", "version": ">= 5.40"}


def _alias(account: str, region: str) -> str:
    return f"a{account}_{region.replace('-', '_')}"


# The parts of a bucket, and the block around their content.
BUCKET_PARTS = {
    "public access block": ("aws_s3_bucket_public_access_block", ""),
    "object ownership": ("aws_s3_bucket_ownership_controls", ""),
    "encryption": ("aws_s3_bucket_server_side_encryption_configuration", ""),
    "versioning": ("aws_s3_bucket_versioning", "VersioningConfiguration"),
    "lifecycle rules": ("aws_s3_bucket_lifecycle_configuration", "Rules"),
}
RESOURCE_ARGUMENTS = {
    "VPC": "vpc_id",
    "Subnet": "subnet_id",
    "NetworkInterface": "eni_id",
    "TransitGateway": "transit_gateway_id",
    "TransitGatewayAttachment": "transit_gateway_attachment_id",
    "RegionalNatGateway": "regional_nat_gateway_id",
}


def _terraform_resources(
    resources: Sequence[Resource],
) -> Iterable[tuple[str, str, Body]]:
    found, names = _contents(resources), {r.kind: r.name for r in resources}
    bucket, depends = {"bucket": Raw("aws_s3_bucket.logs.id")}, {}
    if "bucket" in found:
        body = {"bucket": names["bucket"], "tags": _tags(found["bucket"])}
        yield "aws_s3_bucket", "logs", body
    for kind, (name, block) in BUCKET_PARTS.items():
        if kind in found:
            content = {block: found[kind]} if block else found[kind]
            yield name, "logs", {**bucket, **_attributes(content)}
    if "bucket policy" in found:
        policy = Json(_document(found["bucket policy"]))
        yield "aws_s3_bucket_policy", "logs", {**bucket, "policy": policy}
        depends = {"depends_on": [Raw("aws_s3_bucket_policy.logs")]}
    role = {key: value for key, value in found["role"].items() if value}
    tags = {"tags": _tags({"Tags": role.pop("Tags")})}
    trust = {"assume_role_policy": Json(found["role trust"])}
    body = {"name": names["role"], **_attributes(role), **tags, **trust}
    yield "aws_iam_role", "snowflake", body
    body = {
        "name": names["role policy"][1],
        "role": Raw("aws_iam_role.snowflake.id"),
        "policy": Json(found["role policy"]),
    }
    yield "aws_iam_role_policy", "snowflake", body
    for kind, label, body in _terraform_events(found, names):
        yield kind, label, {**bucket, **body} if "bucket" in kind else body
    for resource in resources:
        if resource.kind == "flow log":
            content = dict(resource.content)
            argument = RESOURCE_ARGUMENTS[content.pop("ResourceType")]
            (tagged,) = content.pop("TagSpecifications")
            body = {
                "place": (resource.account, resource.region),
                argument: resource.name,
                **_attributes(content),
                "tags": _tags(tagged),
                **depends,
            }
            yield "aws_flow_log", re.sub(r"\W", "_", resource.name), body


def _terraform_events(
    found: Mapping[str, Any], names: Mapping[str, str]
) -> Iterable[tuple[str, str, Body]]:
    body: Body = {}
    if "notification" in found:
        item = found["notification"]
        rules = item["Filter"]["Key"]["FilterRules"]
        filters = {f"filter_{rule['Name']}": rule["Value"] for rule in rules}
        own = {"id": item["Id"], "queue_arn": Raw(f"var.{QUEUE}")}
        body["queue"] = [{**own, "events": item["Events"], **filters}]
    if "EventBridge" in found:
        body["eventbridge"] = True
    if body:
        yield "aws_s3_bucket_notification", "logs", body
    if "topic" not in found:
        return
    topic = {"arn": Raw("aws_sns_topic.snowpipe.arn")}
    tags, name = {"tags": _tags(found["topic"])}, names["event rule"]
    yield "aws_sns_topic", "snowpipe", {"name": names["topic"], **tags}
    policy = Json(_document(found["topic policy"]))
    yield "aws_sns_topic_policy", "snowpipe", {**topic, "policy": policy}
    pattern = Json(found["event rule"]["Pattern"])
    body = {"name": name, "event_pattern": pattern, **tags}
    yield "aws_cloudwatch_event_rule", "snowpipe", body
    rule = Raw("aws_cloudwatch_event_rule.snowpipe.name")
    body = {"rule": rule, "target_id": name, **topic}
    yield "aws_cloudwatch_event_target", "snowpipe", body


def _attributes(content: Mapping[str, Any]) -> Body:
    """Return a content of the API as Terraform names it, with blocks as lists."""

    def value(found: Any) -> Any:
        if isinstance(found, dict):
            return [_attributes(found)]
        if isinstance(found, list):
            return [_attributes(x) if isinstance(x, dict) else x for x in found]
        return found

    return {_snake(key): value(found) for key, found in content.items()}


def _snake(name: str) -> str:
    """Return a name such as ``sse_algorithm``; blocks are named in the singular."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return {"Rules": "rule"}.get(name, words.lower())


def _block(kind: str, labels: Sequence[str], body: Body, indent: str = "") -> str:
    heads = "".join(f' "{label}"' for label in labels)
    lines = [f"{indent}{kind}{heads} {{"]
    inner = indent + "  "
    for key, value in body.items():
        is_block = isinstance(value, list) and value and isinstance(value[0], dict)
        if is_block:
            lines += [_block(key, [], below, inner).rstrip("\n") for below in value]
        else:
            lines.append(f"{inner}{key} = {_expression(value, inner)}")
    return "\n".join([*lines, f"{indent}}}", ""])


def _expression(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Variable):
        return f"var.{value.name}"
    if isinstance(value, Json):
        return f"jsonencode({_expression(value.value, indent)})"
    if isinstance(value, dict):
        pairs = [
            f"{inner}{_text(key)} = {_expression(below, inner)}\n"
            for key, below in value.items()
        ]
        return "{\n" + "".join(pairs) + indent + "}"
    if isinstance(value, list | tuple):
        items = "".join(f"{inner}{_expression(item, inner)},\n" for item in value)
        return "[\n" + items + indent + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    # `${` and `%{` start a template.
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")


# ----- CloudFormation

PARAMETERS = {
    USER: "SnowflakeUserArn",
    EXTERNAL_ID: "SnowflakeExternalId",
    QUEUE: "SnowpipeQueueArn",
}


def cloudformation(resources: Sequence[Resource]) -> dict[str, str]:
    """Return a template for each account and region, of what is wholly ours."""
    files = {}
    home = resources[0].account, resources[0].region
    for place in sorted({(r.account, r.region) for r in resources}):
        here = [r for r in resources if (r.account, r.region) == place]
        found: dict[str, Any] = {}
        if place == home:
            found |= _cloudformation_home(here)
        depends = "LogsPolicy" if "LogsPolicy" in found else None
        for resource in here:
            if resource.kind == "flow log":
                name = "FlowLog" + re.sub(r"\W", "", resource.name.title())
                found[name] = _cloudformation_flow_log(resource, depends)
        found = _refs(found)
        text = json.dumps(found)
        template = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": f"VPC Flow Logs, {resources[0].mark}",
            "Parameters": {
                parameter: {
                    "Type": "String",
                    "Description": VARIABLES[name],
                    "NoEcho": name == EXTERNAL_ID,
                }
                for name, parameter in PARAMETERS.items()
                if f'"{parameter}"' in text
            },
            "Resources": found,
        }
        if not template["Parameters"]:
            del template["Parameters"]
        files["-".join(place) + ".json"] = json.dumps(template, indent=2) + "\n"
    return files


def _refs(value: Any) -> Any:
    if isinstance(value, Variable):
        return {"Ref": PARAMETERS[value.name]}
    if isinstance(value, dict):
        return {key: _refs(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_refs(item) for item in value]
    return value


def _cloudformation_home(resources: Sequence[Resource]) -> dict[str, Any]:
    found, names = _contents(resources), {r.kind: r.name for r in resources}
    made: dict[str, Any] = {}

    def add(name: str, kind: str, properties: Mapping[str, Any], **more: Any) -> None:
        made[name] = {"Type": kind, "Properties": dict(properties), **more}

    if "bucket" in found:
        (rule,) = found["encryption"]["Rules"]
        encryption = {
            "BucketKeyEnabled": rule["BucketKeyEnabled"],
            "ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"],
        }
        rules = [
            {
                "Id": rule["ID"],
                "Status": rule["Status"],
                "Prefix": rule["Filter"]["Prefix"],
                "ExpirationInDays": rule["Expiration"]["Days"],
                "NoncurrentVersionExpiration": rule["NoncurrentVersionExpiration"],
            }
            for rule in found.get("lifecycle rules", [])
        ]
        properties = {
            "BucketName": names["bucket"],
            "Tags": found["bucket"]["Tags"],
            "PublicAccessBlockConfiguration": found["public access block"],
            "OwnershipControls": found["object ownership"],
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
            "VersioningConfiguration": found.get("versioning"),
            "LifecycleConfiguration": {"Rules": rules} if rules else None,
            "NotificationConfiguration": _cloudformation_notifications(found),
        }
        # A stack that is deleted keeps the logs.
        keep = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        given = {key: value for key, value in properties.items() if value}
        add("Logs", "AWS::S3::Bucket", given, **keep)
        policy = _document(found["bucket policy"])
        properties = {"Bucket": {"Ref": "Logs"}, "PolicyDocument": policy}
        add("LogsPolicy", "AWS::S3::BucketPolicy", properties)
    role, (_, policy_name) = found["role"], names["role policy"]
    inline = {"PolicyName": policy_name, "PolicyDocument": found["role policy"]}
    given = {key: value for key, value in role.items() if value}
    trust = {"AssumeRolePolicyDocument": found["role trust"], "Policies": [inline]}
    add(
        "SnowflakeRole", "AWS::IAM::Role", {"RoleName": names["role"], **given, **trust}
    )
    if "topic" in found:
        topic = {"TopicName": names["topic"], "Tags": found["topic"]["Tags"]}
        add("Topic", "AWS::SNS::Topic", topic)
        policy = _document(found["topic policy"])
        properties = {"Topics": [{"Ref": "Topic"}], "PolicyDocument": policy}
        add("TopicPolicy", "AWS::SNS::TopicPolicy", properties)
        name = names["event rule"]
        properties = {
            "Name": name,
            "EventPattern": found["event rule"]["Pattern"],
            "State": "ENABLED",
            "Targets": [{"Id": name, "Arn": {"Ref": "Topic"}}],
        }
        add("Rule", "AWS::Events::Rule", properties)
    return made


def _cloudformation_notifications(found: Mapping[str, Any]) -> dict[str, Any]:
    notifications: dict[str, Any] = {}
    if "notification" in found:
        item = found["notification"]
        rules = {"S3Key": {"Rules": item["Filter"]["Key"]["FilterRules"]}}
        notifications["QueueConfigurations"] = [
            {"Event": event, "Queue": item["QueueArn"], "Filter": rules}
            for event in item["Events"]
        ]
    if "EventBridge" in found:
        on = {"EventBridgeEnabled": True}
        notifications["EventBridgeConfiguration"] = on
    return notifications


def _cloudformation_flow_log(resource: Resource, depends: str | None) -> dict[str, Any]:
    content = dict(resource.content)
    (tags,) = content.pop("TagSpecifications")
    properties = {**content, "ResourceId": resource.name, "Tags": tags["Tags"]}
    made: dict[str, Any] = {"Type": "AWS::EC2::FlowLog", "Properties": properties}
    return {**made, "DependsOn": depends} if depends else made
