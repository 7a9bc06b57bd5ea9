{# The question as it is usually put: which of our addresses exchanged accepted traffic
   on SSH or RDP ports? Compare it with the mart `admin_exposure`: this one also counts
   traffic between two private addresses, a NAT gateway that took 3389 as its own port,
   and other protocols than TCP and UDP. #}
{{ config(enabled=project_name == 'vpc_flow_logs') }}

with

records as (

    select
        srcaddr,
        dstaddr,
        srcport,
        dstport
    from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
    where action = 'ACCEPT'

),

replies as (

    select distinct
        srcaddr as internal_addr,
        dstaddr as external_addr,
        srcport as port
    from records
    where srcport in (22, 3389) and {{ vpc_flow_logs.ipv4_is_internal('srcaddr') }}

),

requests as (

    select distinct
        dstaddr as internal_addr,
        srcaddr as external_addr,
        dstport as port
    from records
    where dstport in (22, 3389) and {{ vpc_flow_logs.ipv4_is_internal('dstaddr') }}

),

exposed as (

    select * from replies
    union distinct
    select * from requests

)

select * from exposed
