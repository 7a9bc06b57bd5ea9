{# The plain query for the question: which of our addresses exchanged accepted traffic
   on SSH or RDP ports? Unlike the mart `admin_exposure`, it also counts traffic between
   two private addresses, of a NAT gateway that uses 3389 as its own port, and of
   protocols other than TCP and UDP. #}
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
