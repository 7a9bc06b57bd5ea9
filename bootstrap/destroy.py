"""Removing what this deployment made, by tag, name and statement id."""

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
    """Delete the files of our flow logs from another owner's bucket.

    A file's name has the id of its flow log, so files are deleted before flow logs.
    AWS may deliver more for some minutes.

    Args:
        d: The deployment.
        delete_data: Whether to delete anything.
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
            "--delete-data; their names have the ids of our flow logs",
            apply=lambda: _delete(d, iter(mine)),
        )
    ]


def plan_topics(d: Deployment) -> list[Change]:
    """Remove our statement from the topics that the bucket notifies."""
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
    """Drop what set-up made in Snowflake, if wanted, or note who can."""
    resource = "Snowflake"
    if not wanted:
        reason = "what set-up made stays; --with-snowflake drops it"
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
            f"{'is dropped too' if delete_data else 'and its database stay'}",
            left,
            None,
            lambda: d.snowflake.tear_down(delete_data),
        )
    ]


def plan_policy(d: Deployment) -> list[Change]:
    """Remove our statements from the bucket's policy; all others stay.

    If AWS removed statements for a flow log, and ``apply`` was interrupted before it
    restored them, they are restored here.
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
        "remove our statements; all others stay unchanged",
        current,
        left,
        lambda: d.home.s3.put_bucket_policy(**d.bucket, Policy=new_text),
    )
    return [then(change, d.journal.clear)]


def plan_bucket(d: Deployment, delete_data: bool) -> list[Change]:
    """Delete our bucket if it is empty or may be emptied."""
    if bucket.read(d) is not Bucket.OURS:
        return []
    name = d.settings.bucket.name
    is_empty = next(_versions(d, ""), None) is None
    if not is_empty and not delete_data:
        reason = "it has files, so it stays; --delete-data deletes both"
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
            "this deployment made it",
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
                f"DeleteObjects failed for {len(failed)} files in bucket "
                f"{d.settings.bucket.name}, the first: {first.get('Key')}: "
                f"{first.get('Code')}: {first.get('Message')}"
            )
        d.say(f"{len(batch)} files deleted")
        batch.clear()

    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            flush()
    flush()
