"""Host: all about one address, or the addresses of one interface."""

from __future__ import annotations

from . import charts, exposure, findings
from .data import ADDRESSES, FLOWS, OWNERS
from .panels import Panel
from .traffic import COUNTED, SERVICE

#: All traffic of the address, which the filters have to name.
OF_HOST = (
    "with flows as (select client_addr, server_addr, protocol, server_port, action,"
    f" client_bytes + server_bytes as bytes, records, first_seen_at, last_seen_at"
    f" from {FLOWS} where {{filters}})"
)
NONE = "No traffic of the address is in this period."

PANELS = (
    Panel(
        question="When was it seen, and how much did it exchange?",
        table=FLOWS,
        sql=f"{OF_HOST} select action, case when server_addr = ? then 'server'"
        " else 'client' end as role, min(first_seen_at) as first_seen_at,"
        " max(last_seen_at) as last_seen_at, cast(sum(bytes) as bigint) as bytes,"
        " cast(sum(records) as bigint) as records from flows group by 1, 2"
        " order by 1, 2",
        parameters=("address",),
        empty=NONE,
    ),
    Panel(
        question="Who are its peers?",
        table=FLOWS,
        sql=f"{OF_HOST} select case when server_addr = ? then client_addr"
        " else server_addr end as peer, cast(sum(bytes) as bigint) as bytes,"
        " cast(sum(records) as bigint) as records, min(first_seen_at) as first_seen_at,"
        " max(last_seen_at) as last_seen_at from flows where action = 'ACCEPT'"
        " group by 1 order by 2 desc, 1",
        parameters=("address",),
        chart=charts.bars("peer", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
    Panel(
        question="Which services does it offer and use?",
        table=FLOWS,
        sql=f"{OF_HOST} select case when server_addr = ? then 'offers '"
        f" else 'uses ' end || {SERVICE} as service, cast(sum(bytes) as bigint)"
        " as bytes, cast(sum(records) as bigint) as records from flows"
        " where action = 'ACCEPT' group by 1 order by 2 desc, 1",
        parameters=("address",),
        chart=charts.bars("service", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
    Panel(
        question="Who held the address, and when?",
        table=OWNERS,
        sql="select coalesce(name, 'unknown') as name, owner, instance_id,"
        " interface_id, account_id, vpc_id, owned_from, owned_until, known_from"
        f" from {OWNERS} where {{filters}} order by owned_from, interface_id",
        caption="By snapshots of the inventory and by the logs, in any period. Without"
        " an end it is still so. Nobody is known of other times.",
        empty="No snapshot and no log of an interface with this address is known.",
    ),
    Panel(
        question="Which interfaces had the address, and on which days?",
        table=ADDRESSES,
        sql="select interface_id, account_id, min(started_date) as first_day,"
        f" max(started_date) as last_day from {ADDRESSES} where {{filters}}"
        " group by 1, 2 order by 3, 1",
        chart=charts.spans("interface_id", "first_day", "last_day"),
        empty="No flow log of an interface with this address is in this period.",
    ),
    findings.ALL,
    exposure.PANELS[3],
    exposure.PANELS[5],
)

ADDRESSES_OF_AN_INTERFACE = (
    f"select distinct address from {ADDRESSES} where interface_id = ? order by 1"
    " limit 100"
)
