{# One row per internal address, administrative port, protocol and rule of a security
   group: the rules that let the internet in, where the inventory knows them. #}

with

holders as (

    select distinct
        addresses.address,
        networks.name as security_group_id
    from {{ ref('vpc_flow_logs', 'int_security_groups__networks') }} as networks
    inner join {{ ref('vpc_flow_logs', 'int_security_groups__addresses') }} as addresses
        on networks.segment = addresses.segment
    where networks.kind = 'security_group'

)

select
    exposure.internal_addr,
    exposure.port,
    exposure.protocol,
    rules.security_group_id,
    rules.security_group_name,
    rules.rule_id,
    rules.protocol as rule_protocol,
    rules.from_port,
    rules.to_port,
    rules.peer,
    rules.description,
    rules.account_id,
    rules.vpc_id,
    cast(count(distinct exposure.external_addr) as bigint) as public_addresses,
    cast(sum(exposure.records) as bigint) as records,
    min(exposure.first_seen_at) as first_seen_at,
    max(exposure.last_seen_at) as last_seen_at
from {{ ref('vpc_flow_logs', 'admin_exposure') }} as exposure
inner join holders
    on exposure.internal_addr = holders.address
inner join {{ ref('vpc_flow_logs', 'int_security_groups__rules') }} as rules
    on
        holders.security_group_id = rules.security_group_id
        and rules.direction = 'ingress'
where
    exists (
        select 1
        from {{ ref('vpc_flow_logs', 'int_security_groups__uses') }} as uses
        where
            rules.rule_id = uses.rule_id
            and exposure.external_addr = uses.peer_addr
            and exposure.port = uses.port
            and exposure.protocol = uses.protocol
            and not uses.is_unclear
    )
group by
    exposure.internal_addr,
    exposure.port,
    exposure.protocol,
    rules.security_group_id,
    rules.security_group_name,
    rules.rule_id,
    rules.protocol,
    rules.from_port,
    rules.to_port,
    rules.peer,
    rules.description,
    rules.account_id,
    rules.vpc_id
