"""The folders that log delivery writes to, by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bootstrap.deployment import Deployment


def day_prefixes(d: Deployment, today: datetime, days: int) -> Iterator[str]:
    """Yield the folders of the last days, in both layouts, for every source.

    VPC guide, "Flow log files".

    Args:
        d: The deployment.
        today: The newest day, in UTC; a folder has the date of delivery.
        days: The number of days.
    """
    ordinals = [today.toordinal() - back for back in range(days)]
    for account, region in sorted(set(d.source_pairs())):
        plain = f"{d.place.logs_prefix}{account}/vpcflowlogs/{region}/"
        hive = (
            f"{d.place.logs_prefix}aws-account-id={account}/aws-service=vpcflowlogs/"
            f"aws-region={region}/"
        )
        for ordinal in ordinals:
            day = datetime.fromordinal(ordinal)
            yield f"{plain}{day:%Y/%m/%d}/"
            yield f"{hive}year={day:%Y}/month={day:%m}/day={day:%d}/"
