"""More of AWS's own rules and refusals for moto.

moto allows only a bucket without prefix as the destination of flow logs, loses their
options, allows overlapping notifications, loses EventBridge, allows any principal, and
ignores conditions in a bucket's policy. The rules here are those of the AWS guides.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest.mock import patch
from xml.etree import ElementTree

import botocore.session
from botocore.auth import SigV4Auth
from botocore.useragent import UserAgentString
from moto.core import models as moto_models
from moto.core import responses as moto_responses
from moto.core.base_backend import BaseBackend
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.core.utils import method_names_from_class
from moto.ec2.models import flow_logs as moto_flow_logs
from moto.ec2.responses import flow_logs as moto_flow_log_responses
from moto.ec2.utils import random_flow_log_id
from moto.iam import access_control as moto_access
from moto.iam import models as moto_iam
from moto.iam.exceptions import IAMException
from moto.iam.models import iam_backends
from moto.kms import models as moto_kms
from moto.s3 import models as moto_s3
from moto.s3 import responses as moto_s3_responses
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends

from bootstrap.policies import statements

DELIVERY = "delivery.logs.amazonaws.com"


@dataclass
class Aws:
    """The state of the rules.

    Args:
        principals: Users of other accounts that IAM finds.
        unseen: How many times IAM still refuses a principal as invalid.
        policy: What happens to the bucket's policy when a flow log is created; AWS's
            guides name two ways.
        fails: Resource ids whose flow log AWS refuses, with the error code.
    """

    principals: set[str] = field(default_factory=set)
    unseen: int = 0
    policy: Literal["kept", "overwritten", "appended to"] = "kept"
    fails: dict[str, str] = field(default_factory=dict)

    def check_principal(self, policy: str) -> None:
        """Refuse a trust in a principal that IAM does not find."""
        for statement in statements(json.loads(policy)):
            principal = statement.get("Principal", {})
            for arn in _listed(principal.get("AWS", [])):
                if arn.endswith(":root"):
                    continue
                if arn not in self.principals or self.unseen > 0:
                    self.unseen -= 1
                    raise IAMException(
                        "MalformedPolicyDocument",
                        f'Invalid principal in policy: "AWS":"{arn}"',
                    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@contextmanager
def faithful() -> Iterator[Aws]:
    """Add AWS's rules to moto, for mocks and for servers in this process."""
    aws = Aws()
    with ExitStack() as stack:
        for target, name, replacement in [*_rules(aws), *QUICKER]:
            stack.enter_context(patch.object(target, name, replacement))
        yield aws


def _rules(aws: Aws) -> Iterator[tuple[Any, str, Any]]:
    wrappers: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (
            moto_flow_log_responses.FlowLogs,
            "create_flow_logs",
            lambda _: _create_flow_logs(aws),
        ),
        (moto_s3.S3Backend, "delete_bucket", _delete_bucket),
        (
            moto_s3.FakeBucket,
            "set_notification_configuration",
            lambda _: _set_notification,
        ),
        (moto_s3_responses.S3Response, "_bucket_response_put", _put_bucket),
        (moto_s3_responses.S3Response, "get_bucket_notification", _get_notification),
        (
            moto_iam.IAMBackend,
            "update_assume_role_policy",
            lambda original: _update_trust(aws, original),
        ),
        (moto_access.IAMPolicyStatement, "is_action_permitted", _over_tls),
        (moto_kms.KmsBackend, "put_key_policy", _put_key_policy),
    ]
    for target, name, wrap in wrappers:
        yield target, name, wrap(getattr(target, name))


def _urls_once_a_class() -> property:
    original: Any = vars(BaseBackend)["urls"]
    found: dict[type, Any] = {}

    def urls(self: Any) -> Any:
        if type(self) not in found:
            found[type(self)] = original.fget(self)
        return found[type(self)]

    return property(urls)


# moto lists its URLs and methods with every call, and generates an RSA key with every
# KMS key. botocore composes its user agent with every call, and reads its models with
# every session. Doing that once saves a third of the time.
QUICKER: list[tuple[Any, str, Any]] = [
    (BaseBackend, "urls", _urls_once_a_class()),
    (
        moto_responses,
        "method_names_from_class",
        functools.cache(method_names_from_class),
    ),
    (
        moto_kms,
        "generate_private_key",
        functools.cache(moto_kms.generate_private_key),
    ),
    # Only for calls without botocore.
    (moto_models, "RESPONSES_METHODS", ()),
    # moto does not check signatures.
    (SigV4Auth, "canonical_request", lambda *_: ""),
    (UserAgentString, "to_string", lambda _: "botocore"),
    (
        botocore.session,
        "create_loader",
        functools.cache(botocore.session.create_loader),
    ),
]


def _bucket(name: str, partition: str) -> Any:
    for backends in s3_backends.values():
        found = backends[partition].buckets.get(name)
        if found is not None:
            return found
    return None


def _create_flow_logs(aws: Aws) -> Any:
    def create_flow_logs(self: Any) -> ActionResult:
        backend = self.ec2_backend
        destination = self._get_param("LogDestination")
        options = self._get_param("DestinationOptions", {}) or {}
        tags = self._parse_tag_specification().get("vpc-flow-log", {})
        bucket_name, _, prefix = destination.split(":", 5)[5].partition("/")
        tag_fields = [
            {"ResourceType": item["ResourceType"], "TagKeys": item["TagKeys"]}
            for item in self._get_param("TagFieldSpecifications", []) or []
        ]
        made, failed = [], []

        def fail(resource: str, code: str, message: str) -> None:
            error = {"Code": code, "Message": message}
            failed.append({"ResourceId": resource, "Error": error})

        for resource in self._get_param("ResourceIds", []):
            bucket = _bucket(bucket_name, backend.partition)
            if resource in aws.fails:
                fail(resource, aws.fails[resource], "as the test sets it")
            elif "AWSLogs" in prefix.split("/"):
                fail(resource, "InvalidParameter", "AWSLogs is reserved")
            elif bucket is None:
                fail(resource, "400", f"LogDestination: {bucket_name} does not exist.")
            elif not _may_deliver(bucket, prefix, backend.account_id):
                message = "LogDestinationPermissionIssueException"
                fail(resource, "400", message)
            elif any(
                log.resource_id == resource and log.log_destination == destination
                for log in backend.flow_logs.values()
            ):
                fail(resource, "FlowLogAlreadyExists", "there is one already")
            else:
                log = moto_flow_logs.FlowLogs(
                    backend,
                    random_flow_log_id(),
                    resource,
                    self._get_param("TrafficType"),
                    destination,
                    None,
                    None,
                    self._get_int_param("MaxAggregationInterval", 600),
                    "s3",
                    self._get_param("LogFormat"),
                )
                vars(log)["destination_options"] = {
                    "FileFormat": options.get("FileFormat", "plain-text"),
                    "HiveCompatiblePartitions": _true(
                        options.get("HiveCompatiblePartitions")
                    ),
                    "PerHourPartition": _true(options.get("PerHourPartition")),
                }
                backend.flow_logs[log.id] = log
                log.add_tags(tags)
                if tag_fields:
                    vars(log)["tag_field_specifications"] = tag_fields
                made.append(log.id)
        if made and aws.policy != "kept":
            policy = _policy_of_aws(
                bucket_name, prefix, backend.account_id, backend.region_name
            )
            if aws.policy == "appended to":
                added = policy["Statement"]
                policy = json.loads(bucket.policy)
                policy["Statement"] += added
            bucket.policy = json.dumps(policy, separators=(",", ":")).encode()
        return ActionResult({"FlowLogIds": made, "Unsuccessful": failed})

    return create_flow_logs


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _may_deliver(bucket: Any, prefix: str, account: str) -> bool:
    folder = f"{bucket.name}/{prefix.rstrip('/')}/" if prefix else f"{bucket.name}/"
    keys = [f"{folder}AWSLogs/{k}{account}/x" for k in ("", "aws-account-id=")]
    policy = json.loads(bucket.policy) if bucket.policy else None
    allowed = [
        s
        for s in statements(policy)
        if s.get("Principal") == {"Service": DELIVERY}
        and "s3:PutObject" in _listed(s["Action"])
        and account in s["Condition"]["StringEquals"]["aws:SourceAccount"]
    ]
    return all(
        any(
            fnmatch.fnmatchcase(key, resource.split(":::")[1])
            for s in allowed
            for resource in _listed(s["Resource"])
        )
        for key in keys
    )


def _policy_of_aws(
    bucket: str, prefix: str, account: str, region: str
) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    folder = f"{arn}/{prefix.rstrip('/')}" if prefix else arn
    condition = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{region}:{account}:*"},
    }
    return {
        "Version": "2012-10-17",
        "Id": "AWSLogDeliveryWrite20150319",
        "Statement": [
            {
                "Sid": "AWSLogDeliveryWrite1",
                "Effect": "Allow",
                "Principal": {"Service": DELIVERY},
                "Action": "s3:PutObject",
                "Resource": f"{folder}/AWSLogs/{account}/*",
                "Condition": condition,
            },
            {
                "Sid": "AWSLogDeliveryAclCheck1",
                "Effect": "Allow",
                "Principal": {"Service": DELIVERY},
                "Action": "s3:GetBucketAcl",
                "Resource": arn,
                "Condition": condition,
            },
        ],
    }


def _delete_bucket(original: Any) -> Any:
    """Delete a bucket's tags with it."""

    def delete(self: Any, name: str) -> Any:
        found = self.buckets.get(name)
        if found is not None and not found.keys:
            self.tagger.delete_all_tags_for_resource(found.arn)
        return original(self, name)

    return delete


def _put_bucket(original: Any) -> Any:
    """Store the tags of the call that creates the bucket."""

    def put(self: Any, request: Any, name: str, querystring: dict[str, Any]) -> Any:
        answer = original(self, request, name, querystring)
        if not querystring and self.body:
            tags = {
                tag.findtext("{*}Key"): tag.findtext("{*}Value")
                for tag in ElementTree.fromstring(self.body).iterfind("{*}Tags/{*}Tag")
            }
            if tags:
                self.backend.put_bucket_tagging(name, tags)
        return answer

    return put


def _set_notification(self: Any, configuration: dict[str, Any] | None) -> None:
    if not configuration:
        self.notification_configuration = None
        return
    wanted = moto_s3.NotificationConfiguration(
        topic=configuration.get("TopicConfiguration"),
        queue=configuration.get("QueueConfiguration"),
        cloud_function=configuration.get("CloudFunctionConfiguration"),
        event_bridge=configuration.get("EventBridgeConfiguration"),
    )
    items = [*wanted.topic, *wanted.queue, *wanted.cloud_function]
    for position, one in enumerate(items):
        if one.arn.split(":")[3] != self.region_name:
            raise S3ClientError(
                "InvalidArgument",
                "The notification destination service region is not valid",
            )
        for other in items[position + 1 :]:
            if _refused_together(one, other):
                raise S3ClientError(
                    "InvalidArgument",
                    "Configuration is ambiguously defined. Cannot have overlapping "
                    "suffixes in two rules if the prefixes are overlapping for the "
                    "same event type.",
                )
    if len({item.id for item in items}) != len(items):
        raise S3ClientError("InvalidArgument", "Ids must be unique")
    self.notification_configuration = wanted


def _refused_together(one: Any, other: Any) -> bool:
    def filters(item: Any, name: str) -> str:
        found = item.filters["S3Key"]["FilterRule"] if item.filters else []
        return str(next((f["Value"] for f in found if f["Name"] == name), ""))

    def same_event(a: str, b: str) -> bool:
        return fnmatch.fnmatchcase(a, b) or fnmatch.fnmatchcase(b, a)

    p, q = filters(one, "prefix"), filters(other, "prefix")
    s, t = filters(one, "suffix"), filters(other, "suffix")
    return (
        any(same_event(a, b) for a in one.events for b in other.events)
        and (p.startswith(q) or q.startswith(p))
        and (s.endswith(t) or t.endswith(s))
    )


def _get_notification(original: Any) -> Any:
    def get_bucket_notification(self: Any) -> Any:
        status, headers, body = original(self)
        found = self.backend.get_bucket_notification_configuration(self.bucket_name)
        if found is not None and found.event_bridge is not None:
            text = body.decode() if isinstance(body, bytes) else body
            text = re.sub(r"<(\w+)([^<>]*?)\s*/>\s*$", r"<\1\2></\1>", text)
            # The element is always empty; it is present if EventBridge is on.
            end = text.rindex("</")
            body = f"{text[:end]}<EventBridgeConfiguration/>{text[end:]}"
        return status, headers, body

    return get_bucket_notification


def _update_trust(aws: Aws, original: Any) -> Any:
    def update_assume_role_policy(self: Any, role: str, policy: str) -> None:
        aws.check_principal(policy)
        original(self, role, policy)

    return update_assume_role_policy


def _over_tls(original: Any) -> Any:
    """Skip the denial of plain HTTP: requests here represent requests over TLS."""

    def is_action_permitted(self: Any, *arguments: Any) -> Any:
        condition = self._statement.get("Condition", {})
        if condition == {"Bool": {"aws:SecureTransport": "false"}}:
            return moto_access.PermissionResult.NEUTRAL
        return original(self, *arguments)

    return is_action_permitted


def _put_key_policy(original: Any) -> Any:
    def put_key_policy(self: Any, key_id: str, policy: str) -> None:
        roles = iam_backends[self.account_id][self.partition].roles.values()
        known = {role.arn for role in roles}
        for statement in statements(json.loads(policy)):
            principal = statement.get("Principal", {})
            for arn in _listed(principal.get("AWS", [])):
                if ":role/" in arn and arn not in known:
                    raise JsonRESTError(
                        "MalformedPolicyDocumentException",
                        "Policy contains a statement with one or more invalid "
                        "principals.",
                    )
        original(self, key_id, policy)

    return put_key_policy
