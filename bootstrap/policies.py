"""Policy documents: ours merged by statement id, and the statements of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from bootstrap import naming
from bootstrap.naming import ANY_ACCOUNT, Names, Place, Senders

Document = dict[str, Any]
VERSION = "2012-10-17"


def statements(document: Document | None) -> list[Document]:
    """Return the statements; AWS allows a single one without a list."""
    found = (document or {}).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def dumps(document: object) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"))


def as_list(value: Any) -> list[Any]:
    """Return a value as a list; AWS allows a single value without one."""
    return value if isinstance(value, list) else [value]


def merge(
    current: Document | None, ours: Sequence[Document], our_sids: Collection[str]
) -> Document:
    """Return the document with our statements, and all others unchanged.

    Args:
        current: The document now, or None.
        ours: The statements that are wanted, each with a ``Sid``.
        our_sids: Every id of ours; a statement with one that is not wanted is removed.
    """
    wanted = {statement["Sid"]: statement for statement in ours}
    merged: list[Document] = []
    for statement in statements(current):
        sid = statement.get("Sid")
        if sid in wanted:
            desired = wanted.pop(sid)
            kept = statement if same_statement(statement, desired) else desired
            merged.append(kept)
        elif sid not in our_sids:
            merged.append(statement)
    document = copy.deepcopy(current) if current else {"Version": VERSION}
    document["Statement"] = [*merged, *wanted.values()]
    return document


def without(current: Document | None, our_sids: Collection[str]) -> Document | None:
    """Return the document without our statements, or None if no other is left."""
    left = [s for s in statements(current) if s.get("Sid") not in our_sids]
    if not left or current is None:
        return None
    return {**current, "Statement": left}


def edited(
    text: str | None,
    ours: Sequence[Document],
    names: Names,
    is_earlier: Callable[[Document], bool],
) -> str | None:
    """Return a policy's text with our statements, or without any if none is wanted.

    Args:
        text: The policy now, or None.
        ours: The statements that are wanted.
        names: Gives our statement ids.
        is_earlier: Whether a statement with an id of earlier versions is ours.
    """
    current = json.loads(text) if text else None
    earlier = [s for s in statements(current) if s.get("Sid") in names.earlier_sids]
    document = current
    if any(map(is_earlier, earlier)):
        document = with_ids(current, names.earlier_sids)
    desired = (
        merge(document, ours, names.sids) if ours else without(document, names.sids)
    )
    if same(current, desired):
        return text
    return render_like(text, desired) if desired else None


def with_ids(current: Document | None, renamed: Mapping[str, str]) -> Document | None:
    """Return the document with other statement ids.

    Args:
        current: The document, or None.
        renamed: The new id of each id that changes.
    """
    if current is None or not any(s.get("Sid") in renamed for s in statements(current)):
        return current
    found = [
        {**s, "Sid": renamed[s["Sid"]]} if s.get("Sid") in renamed else s
        for s in statements(current)
    ]
    return {**current, "Statement": found}


def same(one: Document | None, other: Document | None) -> bool:
    """Return whether two documents have the same statements in the same order."""
    if one is None or other is None:
        return one is other
    first, second = statements(one), statements(other)
    return len(first) == len(second) and all(
        same_statement(a, b) for a, b in zip(first, second, strict=True)
    )


def same_text(one: str | None, other: str | None) -> bool:
    """Return whether two texts are the same policy."""
    return same(json.loads(one or "null"), json.loads(other or "null"))


def same_statement(one: Document, other: Document) -> bool:
    """Return whether two statements have the same meaning.

    AWS may return a list of one value as the value, and lists in another order (IAM
    guide, "Policies and permissions", grammar), so lists are compared as sets.
    """
    return bool(_canonical(one) == _canonical(other))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(below) for key, below in value.items()}
    if isinstance(value, list):
        return sorted((_scalar(item) for item in value), key=repr)
    return [_scalar(value)]


def _scalar(value: Any) -> str:
    # A boolean condition may be written as true or as "true".
    return str(value).lower() if isinstance(value, bool) else str(value)


def render_like(text: str | None, document: Document) -> str:
    """Return the document as text; statements that it keeps stay byte for byte.

    The text around them stays too: removing our statements restores the text as its
    owner wrote it.

    Args:
        text: The text that the document replaces, or None.
        document: The same document with other statements.
    """
    spans = _spans(text) if text is not None else []
    if text is None or not spans:
        return dumps(document)
    written, position = "", 0
    for statement in statements(document):
        piece, between = dumps(statement), ","
        for number in range(position, len(spans)):
            start, end = spans[number]
            if json.loads(text[start:end]) == statement:
                piece, position = text[start:end], number + 1
                between = text[spans[number - 1][1] : start] if number else ","
                break
        written += between + piece if written else piece
    return text[: spans[0][0]] + written + text[spans[-1][1] :]


def _spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each statement in a policy's text.

    The list is empty if the text has no list of statements.
    """
    decode = json.JSONDecoder().raw_decode

    def skip(position: int, past: str = "") -> int:
        """Return the start of the next token, after ``past`` if that comes first."""
        while text[position] in " \t\r\n":
            position += 1
        return skip(position + 1) if past and text[position] == past else position

    position = skip(0, "{")
    while text[position] != "}":
        key, end = decode(text, position)
        position = skip(end, ":")
        if key == "Statement" and text[position] == "[":
            position, spans = skip(position, "["), []
            while text[position] != "]":
                _, end = decode(text, position)
                spans.append((position, end))
                position = skip(end, ",")
            return spans
        _, end = decode(text, position)
        position = skip(end, ",")
    return []


# ----- our statements

DELIVERY_SERVICE = "delivery.logs.amazonaws.com"
# The role's policy has 10,240 characters (IAM guide, quotas).
ROLE_ACCOUNTS = 20


def delivery_statements(
    names: Names, place: Place, senders: Senders, ask_for_acl: bool
) -> list[Document]:
    """Return the bucket policy's statements for delivery, in both folder layouts.

    VPC guide, "Publish flow logs to Amazon S3", bucket permissions.

    Args:
        names: Gives the statement ids.
        place: The bucket and prefix.
        senders: The accounts.
        ask_for_acl: Whether files must give the bucket's owner full control. In a
            bucket whose owner owns all files, delivery may send no such header.
    """
    condition = senders.condition(place.partition)
    equals = condition["StringEquals"]
    if ask_for_acl:
        equals = {**equals, "s3:x-amz-acl": "bucket-owner-full-control"}
    return [
        {
            "Sid": names.sid(naming.DELIVERY_WRITE),
            "Effect": "Allow",
            "Principal": {"Service": DELIVERY_SERVICE},
            "Action": "s3:PutObject",
            "Resource": senders.folders(place),
            "Condition": {**condition, "StringEquals": equals},
        },
        {
            "Sid": names.sid(naming.DELIVERY_CHECK),
            "Effect": "Allow",
            "Principal": {"Service": DELIVERY_SERVICE},
            "Action": ["s3:GetBucketAcl", "s3:ListBucket"],
            "Resource": place.arn,
            "Condition": condition,
        },
    ]


def deny_plain_http(names: Names, place: Place) -> Document:
    """Return the statement that denies requests without TLS."""
    return {
        "Sid": names.sid(naming.DENY_PLAIN_HTTP),
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [place.arn, f"{place.arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def key_statements(
    names: Names,
    place: Place,
    senders: Senders,
    role_arn: str,
    allow_unload: bool = False,
) -> list[Document]:
    """Return the key policy's statements for delivery and for Snowflake's role.

    CloudWatch Logs guide, "Amazon S3 bucket server-side encryption".
    """
    delivery: Document = {
        "Sid": names.sid(naming.KEY_DELIVERY),
        "Effect": "Allow",
        "Principal": {"Service": DELIVERY_SERVICE},
        "Action": [
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:DescribeKey",
        ],
        "Resource": "*",
        "Condition": senders.condition(place.partition),
    }
    reader: Document = {
        "Sid": names.sid(naming.KEY_SNOWFLAKE),
        "Effect": "Allow",
        "Principal": {"AWS": role_arn},
        "Action": _key_actions(allow_unload),
        "Resource": "*",
    }
    return [delivery, reader]


def _key_actions(allow_unload: bool) -> list[str]:
    return ["kms:Decrypt", *(["kms:GenerateDataKey"] if allow_unload else [])]


def role_policy(
    places: Sequence[Place],
    accounts: Sequence[str],
    key_arn: str | None = None,
    allow_unload: bool = False,
) -> Document:
    """Return the policy of Snowflake's role: read flow logs, nothing else.

    Requests for GetBucketLocation have no ``s3:prefix``, so a condition on it never
    matches (IAM guide, condition operators): the action has its own statement, unlike
    in Snowflake's sample.

    Args:
        places: The bucket and prefix; while logs move, the earlier ones too.
        accounts: The accounts whose flow logs it reads.
        key_arn: The bucket's KMS key, if it has one.
        allow_unload: Whether the role may also put and delete below the prefix.
    """
    if len(accounts) * len(places) > ROLE_ACCOUNTS:
        accounts = [ANY_ACCOUNT]
    found: list[Document] = []
    for number, place in enumerate(places):
        end = str(number or "")
        found += [
            {
                "Sid": f"ReadFlowLogs{end}",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": [
                    f"{place.arn}/{folder}*"
                    for account in accounts
                    for folder in place.folders(account)
                ],
            },
            {
                "Sid": f"ListPrefix{end}",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": place.arn,
                # Without the slash, it would list what begins alike.
                "Condition": {"StringLike": {"s3:prefix": f"{place.read_prefix}*"}},
            },
            {
                "Sid": f"FindBucket{end}",
                "Effect": "Allow",
                "Action": "s3:GetBucketLocation",
                "Resource": place.arn,
            },
        ]
    if allow_unload:
        found.append(
            {
                "Sid": "Unload",
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:DeleteObjectVersion",
                ],
                "Resource": f"{places[0].arn}/{places[0].read_prefix}*",
            }
        )
    if key_arn:
        found.append(
            {
                "Sid": "UseKey",
                "Effect": "Allow",
                "Action": _key_actions(allow_unload),
                "Resource": key_arn,
            }
        )
    return {"Version": VERSION, "Statement": found}


def trust_policy(principal_arn: str, external_id: str) -> Document:
    """Return the role's trust: one principal with one external id.

    IAM guide, "The confused deputy problem".
    """
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "SnowflakeOnly",
                "Effect": "Allow",
                "Principal": {"AWS": principal_arn},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }


def topic_events_statement(names: Names, topic_arn: str) -> Document:
    """Return the statement that lets EventBridge publish to our topic.

    It has no condition: "You can't use Condition blocks in Amazon SNS topic policies
    for EventBridge" (EventBridge guide, resource-based policies). With one, the
    statement never matches, and messages are lost without an error.
    """
    return {
        "Sid": names.sid(naming.TOPIC_EVENTS),
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic_arn,
    }


def topic_snowflake_statement(names: Names, topic_arn: str, user_arn: str) -> Document:
    """Return the statement that lets Snowflake subscribe the pipe's queue to a topic.

    SYSTEM$GET_AWS_SNS_IAM_POLICY returns the same (Snowflake, "Automating Snowpipe for
    Amazon S3", option 2).
    """
    return {
        "Sid": names.sid(naming.TOPIC_SNOWFLAKE),
        "Effect": "Allow",
        "Principal": {"AWS": user_arn},
        "Action": "sns:Subscribe",
        "Resource": topic_arn,
    }
