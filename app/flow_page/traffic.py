"""Traffic: how much, who with whom, and which service."""

from __future__ import annotations

from . import charts
from .data import FLOWS
from .panels import OTHERS, Panel

#: How many are shown by name; the others are summed.
TOP = 10
BYTES = "client_bytes + server_bytes"
COUNTED = "Each byte counts once, whichever interfaces logged it."
NONE = "No accepted traffic is in this period, or the filters leave none."
NO_PLACES = (
    "No traffic has a price: neither the inventory nor az_id says where an address is."
    " docs/transfer_cost.md says how to get them."
)
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


def top(columns: str, label: str, name: str) -> str:
    """Return the SQL of the largest by bytes, with the sum of the others.

    Names are made for the largest alone: there may be millions of others.

    Args:
        columns: The columns of the rollup of flows to group by.
        label: An expression over them.
        name: The name of its column.
    """
    return (
        f"with sums as (select {columns}, sum({BYTES}) as bytes,"
        f" sum(records) as records from {FLOWS}"
        f" where {{filters}} and action = 'ACCEPT' group by {columns}),"
        f" largest as (select * from sums order by bytes desc, {columns} limit {TOP}),"
        " others as (select (select sum(bytes) from sums)"
        " - (select sum(bytes) from largest) as bytes, (select sum(records) from sums)"
        " - (select sum(records) from largest) as records),"
        f" shown as (select 1 as place, {label} as {name}, bytes, records from largest"
        f" union all select 2 as place, '{OTHERS}' as {name}, bytes, records"
        " from others where records > 0)"
        f" select {name}, cast(bytes as bigint) as bytes, cast(records as bigint)"
        f" as records from shown order by place, bytes desc, {name}"
    )


def who_talks_to_whom() -> str:
    """Return the SQL of the bytes between the largest clients and servers.

    Their names come from the panels of both: to find them again takes as long.
    """
    ends = ", ".join(
        f"case when {end}_addr in ({{{end}}}) then {end}_addr else '{OTHERS}' end"
        f" as {end}"
        for end in ("client", "server")
    )
    return (
        f"with flows as (select client_addr, server_addr, {BYTES} as bytes"
        f" from {FLOWS} where {{filters}} and action = 'ACCEPT')"
        f" select {ends}, cast(sum(bytes) as bigint) as bytes"
        " from flows group by 1, 2 order by bytes desc, client, server"
    )


def over_time(action: str, value: str, step: str) -> str:
    """Return the SQL of sums over time."""
    time = "started_hour" if step == "hour" else "cast(started_hour as date)"
    return (
        f"select {time} as started_{step}, cast(sum({value}) as bigint) as {value}"
        f" from hourly_traffic where {{filters}} and action = '{action}'"
        " group by 1 order by 1"
    )


def outside(column: str, what: str) -> Panel:
    """Return the panel of the bytes by a column of what is known of public addresses.

    Args:
        column: A column of `outside_traffic`.
        what: What it has, in the plural.
    """
    return Panel(
        question=f"With which {what} is traffic exchanged?",
        table="outside_traffic",
        sql=f"select {column},"
        " cast(sum(sent_bytes + received_bytes) as bigint) as bytes,"
        " cast(sum(sent_bytes) as bigint) as sent_bytes"
        f" from outside_traffic where {{filters}} and {column} is not null"
        f" group by {column} order by bytes desc, {column}",
        chart=charts.bars(column, "bytes", "bytes"),
        caption=COUNTED,
        empty=f"Enrichment files give no {what} in this period. docs/enrichment.md says"
        " where to get such files.",
    )


CLIENTS = Panel(
    question="Which clients exchange most?",
    table=FLOWS,
    sql=top("client_addr", "client_addr", "client"),
    chart=charts.bars("client", "bytes", "bytes"),
    caption=COUNTED,
    empty=NONE,
)
SERVERS = Panel(
    question="Which servers exchange most?",
    table=FLOWS,
    sql=top("server_addr", "server_addr", "server"),
    chart=charts.bars("server", "bytes", "bytes"),
    caption=COUNTED,
    empty=NONE,
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
        sql=who_talks_to_whom(),
        names={"client": CLIENTS, "server": SERVERS},
        chart=charts.sankey("client", "server", "bytes"),
        drawn=None,
        caption=f"Clients on the left, servers on the right, by bytes: the {TOP}"
        f" largest of each, and the sum of the others. {COUNTED}",
        empty=NONE,
    ),
    CLIENTS,
    SERVERS,
    Panel(
        question="Which conversations are the largest?",
        table=FLOWS,
        sql=top(
            "client_addr, server_addr, protocol, server_port",
            f"client_addr || ' > ' || server_addr || '  ' || {SERVICE}",
            "conversation",
        ),
        chart=charts.bars("conversation", "bytes", "bytes"),
        caption=f"Client > server, and the service. {COUNTED}",
        empty=NONE,
    ),
    Panel(
        question="Which services are used most?",
        table=FLOWS,
        sql=top("protocol, server_port", SERVICE, "service"),
        chart=charts.bars("service", "bytes", "bytes"),
        caption=COUNTED,
        empty=NONE,
    ),
    outside("country", "countries"),
    outside("as_organization", "networks"),
    outside("aws_service", "AWS services"),
    Panel(
        question="What does the traffic cost, by path?",
        table="transfer_cost",
        sql="select path, round(sum(cost_usd), 6) as cost_usd,"
        " round(sum(saving_usd), 6) as saving_usd,"
        " cast(sum(bytes) as bigint) as bytes"
        " from transfer_cost where {filters} group by path"
        " order by cost_usd desc nulls last, path",
        chart=charts.bars("path", "cost_usd", "US dollars"),
        caption=f"List prices, for the days of the window. {COUNTED} What an endpoint"
        " would save is a part of the cost of the NAT gateway.",
        empty=NO_PLACES,
    ),
    Panel(
        question="Which traffic costs most?",
        table="transfer_cost",
        sql="select source || ' > ' || destination as traffic, path,"
        " round(sum(cost_usd), 6) as cost_usd,"
        " round(sum(saving_usd), 6) as saving_usd,"
        " cast(sum(bytes) as bigint) as bytes"
        " from transfer_cost where {filters} and cost_usd > 0 group by traffic, path"
        " order by cost_usd desc, traffic, path",
        chart=charts.bars("traffic", "cost_usd", "US dollars"),
        caption="List prices, for the days of the window.",
        empty=NO_PLACES,
    ),
)
