"""Traffic: how much, who with whom, and which service."""

from __future__ import annotations

from . import charts
from .data import FLOWS
from .panels import Panel

#: How many are shown by name; the others are summed.
TOP = 10
OTHERS = "all others"
BYTES = "client_bytes + server_bytes"
COUNTED = "Each byte counts once, whichever interfaces logged it."
NONE = "No accepted traffic is in this period, or the filters leave none."
SERVICE = (
    "case when server_port is not null then"
    " case protocol when 6 then 'tcp/' when 17 then 'udp/' when 132 then 'sctp/' end"
    " || cast(server_port as varchar)"
    " else coalesce('protocol ' || cast(protocol as varchar), 'unknown') end"
)
SPREAD = (
    "The bytes of a flow are spread evenly over the hours of the day in which it has"
    " records; the sums of a day are exact."
)


def top(label: str, name: str) -> str:
    """Return the SQL of the largest by bytes, with the sum of the others.

    Args:
        label: An expression over the rollup of flows.
        name: The name of its column.
    """
    return (
        f"with totals as (select {label} as {name}, cast(sum({BYTES}) as bigint)"
        f" as bytes, cast(sum(records) as bigint) as records from {FLOWS}"
        " where {filters} and action = 'ACCEPT' group by 1),"
        f" ranked as (select {name}, bytes, records, row_number() over (order by bytes"
        f" desc, {name}) as place from totals)"
        f" select case when place <= {TOP} then {name} else '{OTHERS}' end as {name},"
        " cast(sum(bytes) as bigint) as bytes, cast(sum(records) as bigint) as records,"
        " cast(count(*) as bigint) as summed"
        " from ranked group by 1 order by min(place)"
    )


def over_time(action: str, value: str, step: str) -> str:
    """Return the SQL of sums over time."""
    time = "started_hour" if step == "hour" else "cast(started_hour as date)"
    return (
        f"select {time} as started_{step}, cast(sum({value}) as bigint) as {value}"
        f" from hourly_traffic where {{filters}} and action = '{action}'"
        " group by 1 order by 1"
    )


PANELS = (
    Panel(
        question="How much traffic was accepted in each hour?",
        table="hourly_traffic",
        sql=over_time("ACCEPT", "bytes", "hour"),
        chart=charts.over_time("started_hour", "bytes", "bytes an hour", "hour"),
        drawn=None,
        caption=f"{COUNTED} {SPREAD}",
        empty=NONE,
    ),
    Panel(
        question="How much on each day?",
        table="hourly_traffic",
        sql=over_time("ACCEPT", "bytes", "day"),
        chart=charts.over_time("started_day", "bytes", "bytes a day", "day"),
        drawn=None,
        caption=COUNTED,
        empty=NONE,
    ),
    Panel(
        question="How much was refused in each hour?",
        table="hourly_traffic",
        sql=over_time("REJECT", "records", "hour"),
        chart=charts.over_time("started_hour", "records", "records an hour", "hour"),
        drawn=None,
        caption="Records that security groups and network ACLs rejected.",
        empty="Nothing was refused in this period.",
    ),
    Panel(
        question="Who talks to whom?",
        table=FLOWS,
        sql=f"with totals as (select client_addr, server_addr, cast(sum({BYTES})"
        f" as bigint) as bytes from {FLOWS} where {{filters}} and action = 'ACCEPT'"
        " group by 1, 2),"
        " clients as (select client_addr, row_number() over (order by sum(bytes) desc,"
        " client_addr) as client_place from totals group by client_addr),"
        " servers as (select server_addr, row_number() over (order by sum(bytes) desc,"
        " server_addr) as server_place from totals group by server_addr)"
        f" select case when client_place <= {TOP} then totals.client_addr"
        f" else '{OTHERS}' end as client,"
        f" case when server_place <= {TOP} then totals.server_addr"
        f" else '{OTHERS}' end as server, cast(sum(bytes) as bigint) as bytes"
        " from totals"
        " inner join clients on totals.client_addr = clients.client_addr"
        " inner join servers on totals.server_addr = servers.server_addr"
        " group by 1, 2 order by 3 desc, 1, 2",
        chart=charts.sankey("client", "server", "bytes"),
        drawn=None,
        caption=f"Clients on the left, servers on the right, by bytes: the {TOP}"
        f" largest of each, and the sum of the others. {COUNTED}",
        empty=NONE,
    ),
    Panel(
        question="Which clients exchange most?",
        table=FLOWS,
        sql=top("client_addr", "client"),
        chart=charts.bars("client", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
    Panel(
        question="Which servers exchange most?",
        table=FLOWS,
        sql=top("server_addr", "server"),
        chart=charts.bars("server", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
    Panel(
        question="Which conversations are the largest?",
        table=FLOWS,
        sql=top(
            f"client_addr || ' > ' || server_addr || '  ' || {SERVICE}", "conversation"
        ),
        chart=charts.bars("conversation", "bytes", "bytes"),
        caption=f"Client > server, and the service. {COUNTED}",
        empty=NONE,
    ),
    Panel(
        question="Which services are used most?",
        table=FLOWS,
        sql=top(SERVICE, "service"),
        chart=charts.bars("service", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
)
