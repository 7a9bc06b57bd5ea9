with records as (
    select *, coalesce(pkt_srcaddr, srcaddr) as entity
    from flow_records
    union all
    select *, coalesce(pkt_dstaddr, dstaddr) as entity
    from flow_records
    where coalesce(pkt_srcaddr, srcaddr) <> coalesce(pkt_dstaddr, dstaddr)
    union all
    select *, interface_id as entity
    from flow_records
)

select
    findings.rule_id,
    records.started_at,
    records.srcaddr,
    records.srcport,
    records.dstaddr,
    records.dstport,
    records.action,
    records.packets,
    records.bytes,
    records.interface_id,
    findings.finding_id
from findings
inner join records
    on records.entity = case
        when findings.entity_type = 'interface' and findings.peer is not null
            then findings.peer
        else findings.entity
    end
where
    records.started_at <= findings.last_seen_at
    and records.started_at >= case
        when findings.entity_type = 'interface' then findings.window_started_at
        else findings.first_seen_at
    end
    and (
        findings.peer is null
        or findings.peer in (
            coalesce(records.pkt_srcaddr, records.srcaddr),
            coalesce(records.pkt_dstaddr, records.dstaddr)
        )
    )
    and (findings.port is null or findings.port in (records.srcport, records.dstport))
    and (findings.protocol is null or findings.protocol = records.protocol)
