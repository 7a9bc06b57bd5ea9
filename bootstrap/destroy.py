"""Removing what is ours: by tag, by name, by statement id; and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from bootstrap import (
    bucket,
    documents,
    flow_log_reading,
    notifications,
    topics,
)
from bootstrap.bucket import Bucket
from bootstrap.changes import Change, then
from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError, code_of
from bootstrap.naming import part_of
from bootstrap.through_dbt import TEAR_DOWN

BATCH = 1000


def plan_data(d: Deployment, delete_data: bool) -> list[Change]:
    """Delete what our flow logs delivered into somebody else's bucket, if asked.

    A file is ours if its name carries the id of a flow log of ours, so it goes before
    the flow logs do. AWS may deliver for some minutes after that.
    """
    if not delete_data or bucket.read(d) is not Bucket.THEIRS:
        return []
    ids = [log.id for _, logs in flow_log_reading.ours(d) for log in logs]
    mine = [
        item
        for item in _versions(d, d.place.logs_prefix)
        if any(f"_{i}_" in item["Key"].rpartition("/")[2] for i in ids)
    ]
    if not mine:
        return []
    return [
        Change(
            "delete",
            f"{len(mine)} log files in bucket {d.settings.bucket.name}",
            "--delete-data; they carry the ids of our flow logs",
            apply=lambda: _delete(d, iter(mine)),
        )
    ]


def plan_topics(d: Deployment) -> list[Change]:
    """Take our statement out of the topics the bucket sends to."""
    arns = {
        rule.arn
        for rule in notifications.rules(notifications.read(d))
        if rule.kind == "TopicConfigurations"
    }
    if d.settings.events.topic_arn:
        arns.add(d.settings.events.topic_arn)
    home = d.settings.bucket.account_id
    return topics.plan_statement_removal(
        d, sorted(arn for arn in arns if part_of(arn, 4) == home)
    )


def plan_snowflake(d: Deployment, wanted: bool, delete_data: bool) -> list[Change]:
    """Drop what set-up made on Snowflake's side if asked, or say who must."""
    resource = "Snowflake's side"
    if not wanted:
        reason = "what set-up made there stays; --with-snowflake drops it"
        return [Change("note", resource, reason)]
    if d.snowflake.by_hand:
        reason = f"its administrator runs: dbt run-operation {TEAR_DOWN}"
        return [Change("note", resource, reason)]
    left = d.snowflake.left(delete_data)
    if not left:
        return []
    return [
        Change(
            "run",
            resource,
            f"dbt run-operation {TEAR_DOWN}; the landing table "
            f"{'goes too' if delete_data else 'and its database stay'}",
            left,
            None,
            lambda: d.snowflake.tear_down(delete_data),
        )
    ]


def plan_policy(d: Deployment) -> list[Change]:
    """Take our statements out of the bucket's policy; all others stay.

    Statements that creating a flow log lost, and that an interrupted ``apply`` could
    not put back, are put back here.
    """
    text = bucket.read_policy_text(d)
    current = json.loads(text) if text else None
    style, base = bucket.whole_policy(d, text)
    left = documents.without(base, d.names.sids)
    resource = f"policy of bucket {d.settings.bucket.name}"
    if documents.same(left, current):
        d.journal.clear()
        return []
    if left is None:
        deletion = Change(
            "delete",
            resource,
            "all its statements are ours",
            current,
            None,
            lambda: d.home.s3.delete_bucket_policy(**d.bucket),
        )
        return [then(deletion, d.journal.clear)]
    new_text = documents.render_like(style, left)
    change = Change(
        "update",
        resource,
        "our statements go; all others stay",
        current,
        left,
        lambda: d.home.s3.put_bucket_policy(**d.bucket, Policy=new_text),
    )
    return [then(change, d.journal.clear)]


def plan_bucket(d: Deployment, delete_data: bool) -> list[Change]:
    """Delete the bucket if it is ours and empty, or may be emptied."""
    if bucket.read(d) is not Bucket.OURS:
        return []
    name = d.settings.bucket.name
    is_empty = next(_versions(d, ""), None) is None
    if not is_empty and not delete_data:
        reason = "it holds data and stays; --delete-data empties and deletes it"
        return [Change("note", f"bucket {name}", reason)]
    changes = []
    if not is_empty:
        changes.append(
            Change(
                "delete",
                f"every version of every object in bucket {name}",
                "--delete-data",
                apply=lambda: _delete(d, _versions(d, "")),
            )
        )
    changes.append(
        Change(
            "delete",
            f"bucket {name}",
            "it is ours",
            apply=lambda: _delete_bucket(d),
        )
    )
    return changes


def _delete_bucket(d: Deployment) -> None:
    try:
        d.home.s3.delete_bucket(**d.bucket)
    except ClientError as error:
        if code_of(error) != "BucketNotEmpty":
            raise
        raise BootstrapError(
            f"bucket {d.settings.bucket.name} got new files meanwhile: AWS delivers "
            "for some minutes after a flow log is gone. Run `destroy` again later"
        ) from error


def _versions(d: Deployment, prefix: str) -> Iterator[dict[str, Any]]:
    pages = d.home.s3.get_paginator("list_object_versions").paginate(
        **d.bucket, Prefix=prefix
    )
    for page in pages:
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            yield {"Key": item["Key"], "VersionId": item["VersionId"]}


def _delete(d: Deployment, items: Iterator[dict[str, Any]]) -> None:
    batch: list[Any] = []

    def flush() -> None:
        if not batch:
            return
        answer = d.home.s3.delete_objects(
            **d.bucket, Delete={"Objects": batch, "Quiet": True}
        )
        failed = answer.get("Errors", [])
        if failed:
            first = failed[0]
            raise BootstrapError(
                f"DeleteObjects failed for {len(failed)} files, the first: "
                f"{first.get('Key')}: {first.get('Code')}: {first.get('Message')}"
            )
        d.say(f"{len(batch)} files deleted")
        batch.clear()

    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            flush()
    flush()
