"""Exposure: who can be reached on administrative ports, and who only tried."""

from __future__ import annotations

from . import charts
from .panels import Panel

SERVICE = (
    "case protocol when 6 then 'tcp/' when 17 then 'udp/' end || cast(port as varchar)"
)
NONE = "Nothing from the internet was accepted, or the filters leave none."

PANELS = (
    Panel(
        question="Which ports does the internet reach, on how many of our addresses?",
        table="admin_exposure",
        sql=f"select {SERVICE} as service,"
        " cast(count(distinct internal_addr) as bigint) as addresses,"
        " cast(count(distinct external_addr) as bigint) as public_addresses"
        " from admin_exposure where {filters} group by 1 order by 2 desc, 1",
        chart=charts.bars("service", "addresses", "addresses of ours"),
        empty=NONE,
    ),
    Panel(
        question="Who is reached from most public addresses?",
        table="admin_exposure",
        sql="select internal_addr,"
        " cast(count(distinct external_addr) as bigint) as public_addresses,"
        " cast(sum(records) as bigint) as records, cast(sum(bytes) as bigint) as bytes"
        " from admin_exposure where {filters} group by 1 order by 2 desc, 1",
        chart=charts.bars("internal_addr", "public_addresses", "public addresses"),
        empty=NONE,
    ),
    Panel(
        question="Since when, and until when?",
        table="admin_exposure",
        sql="select internal_addr, min(first_seen_at) as first_seen_at,"
        " max(last_seen_at) as last_seen_at"
        " from admin_exposure where {filters} group by 1 order by 2, 1",
        chart=charts.spans("internal_addr", "first_seen_at", "last_seen_at"),
        caption="First and last accepted traffic within the window of the marts.",
        empty=NONE,
    ),
    Panel(
        question="From where, and did anything answer?",
        table="admin_exposure",
        sql="select internal_addr,"
        " nullif(internal_host_name, 'unknown') as internal_host_name,"
        " external_addr, port, protocol, evidence, is_refused, first_seen_at,"
        " last_seen_at, records, bytes, internal_network, internal_owner,"
        " nullif(internal_host_owner, 'unknown') as internal_host_owner,"
        " account_id, vpc_id, interface_id, instance_id, hop_addr from admin_exposure"
        " where {filters} order by last_seen_at desc, 1, 3, 4, 5",
        caption="The evidence is both if the host answered a request. A host that is"
        " marked as refused answered with a reset.",
        empty=NONE,
    ),
    Panel(
        question="Which rule of a security group lets them in?",
        table="admin_exposure_rules",
        sql="select internal_addr, port, protocol, security_group_name,"
        " security_group_id, rule_id, rule_protocol, from_port, to_port, peer,"
        " public_addresses, records, last_seen_at, description, account_id, vpc_id"
        " from admin_exposure_rules where {filters}"
        " order by public_addresses desc, 1, 2, 3, 6",
        caption="By the newest inventory. The mart security_group_proposals has"
        " narrower rules.",
        empty="There is no inventory, or no rule of it admits what is shown.",
    ),
    Panel(
        question="Which ports were tried, and refused?",
        table="admin_attempts",
        sql=f"select {SERVICE} as service, cast(sum(records) as bigint) as records,"
        " cast(count(distinct external_addr) as bigint) as public_addresses"
        " from admin_attempts where {filters} group by 1 order by 2 desc, 1",
        chart=charts.bars("service", "records", "records"),
        caption="Security groups and network ACLs rejected these requests.",
        empty="No attempt was refused, or the filters leave none.",
    ),
    Panel(
        question="Who tried?",
        table="admin_attempts",
        sql="select external_addr, cast(count(distinct internal_addr) as bigint)"
        " as addresses, cast(sum(records) as bigint) as records,"
        " min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at"
        " from admin_attempts where {filters} group by 1 order by 2 desc, 3 desc, 1",
        empty="No attempt was refused, or the filters leave none.",
    ),
)
