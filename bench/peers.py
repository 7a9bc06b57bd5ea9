"""Flow logs of many peers, as an interface that faces the internet has them.

A third of the records is between two addresses that are seen once. The others are
between 200 interfaces, their databases, and 2,000 public addresses, which reach the web
alone. Interfaces log both directions, in the default format. Records of two interfaces
of the VPC are there twice, once for each.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

# An exchange `number` is a request and its reply. `hash` gives it all that is random.
FILE = """
copy (
    with

    numbers as (

        select
            hash(range * 2) as a,
            hash(range * 2 + 1) as b,
            $start + cast((range - $first) * $seconds / $exchanges as bigint) as "start"
        from range($first, $first + $exchanges)

    ),

    ends as (

        select
            *,
            a % 9 < 4 as is_once,
            a % 9 >= 4 and b % 5 < 2 as is_inside,
            cast(a // 16 % 200 as integer) as own,
            cast(b // 16 % 200 as integer) as other
        from numbers

    ),

    exchanges as (

        select
            *,
            format('10.0.{}.{}', own // 50, 10 + own % 50) as server,
            case
                when is_once
                    then format(
                        '{}.{}.{}.{}',
                        40 + b // 16 % 11, b // 512 % 256, a // 4096 % 256,
                        1 + b // 131072 % 254
                    )
                when is_inside then format('10.0.{}.{}', other // 50, 10 + other % 50)
                else format('52.10.{}.{}', b // 16 % 8, b // 512 % 250)
            end as client,
            cast(32768 + a // 65536 % 28232 as integer) as client_port,
            case
                when is_inside
                    then [443, 443, 80, 5432, 8080, 53, 3306, 6379, 123, 22]
                        [1 + cast(b // 65536 % 10 as integer)]
                when is_once then 443
                else [443, 443, 80, 8080][1 + cast(b // 65536 % 4 as integer)]
            end as server_port
        from ends

    ),

    sides as (

        select *, unnest(case when is_inside then [own, other] else [own] end) as side
        from exchanges

    ),

    records as (

        select *, unnest([true, false]) as is_request
        from sides

    )

    select
        cast(2 as integer) as version,
        '123456789012' as account_id,
        format('eni-{:017x}', 4096 + side) as interface_id,
        case when is_request then client else server end as srcaddr,
        case when is_request then server else client end as dstaddr,
        cast(case when is_request then client_port else server_port end as integer)
            as srcport,
        cast(case when is_request then server_port else client_port end as integer)
            as dstport,
        cast(case when server_port in (53, 123) then 17 else 6 end as integer)
            as protocol,
        cast(1 + b // 4096 % 20 as bigint) as packets,
        cast(60 + exp(a // 256 % 1000 / 100.0) * (1 + b % 40) as bigint) as bytes,
        "start",
        "start" + 1 + cast(b // 64 % 590 as bigint) as "end",
        case when a % 37 = 0 then 'REJECT' else 'ACCEPT' end as action,
        'OK' as log_status
    from records
    where is_request or a % 37 != 0
    order by "start"
) to '{path}' (format parquet, compression gzip)
"""


def write_many_peers(
    folder: Path, end_date: date, days: int, records: int, files: int
) -> None:
    """Write the sample, the same for the same arguments.

    Args:
        folder: Where AWS's folders of accounts and days begin.
        end_date: Its last UTC day.
        days: How many days it has.
        records: About how many records it has.
        files: In how many files.
    """
    # Two records of an exchange, for two exchanges in nine at both interfaces; without
    # the replies to rejected requests, that is 2.41.
    exchanges = int(records / files / 2.41)
    first_day = datetime.combine(end_date, datetime.min.time()) - timedelta(days - 1)
    seconds = days * 86_400 / files
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 2")
        for number in range(files):
            start = first_day + timedelta(seconds=number * seconds)
            path = (
                folder
                / "AWSLogs/123456789012/vpcflowlogs/eu-west-1"
                / f"{start:%Y/%m/%d}"
                / (
                    "123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0"
                    f"_{start:%Y%m%dT%H%MZ}_{number:08x}.log.parquet"
                )
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            values = {
                "$start": int((start - datetime(1970, 1, 1)).total_seconds()),
                "$seconds": int(seconds),
                "$exchanges": exchanges,
                "$first": number * exchanges,
            }
            query = FILE.replace("{path}", str(path))
            for name, value in values.items():
                query = query.replace(name, str(value))
            connection.execute(query)
