{% set newest_first %}
    partition by internal_addr, external_addr, port, protocol
    order by
        case when hop_addr is null then 0 else 1 end,
        last_seen_at desc,
        interface_id,
        instance_id,
        vpc_id,
        account_id
{% endset %}
{% set all_of_it = 'rows between unbounded preceding and unbounded following' %}

with

{{ admin_contacts('REJECT') }},

{# Everybody who ever knocked, so it is sorted once, and not grouped, ranked and joined.
   The server's own interface tells best: its newest row stands first, and the hops in
   between count where that one is not logged. #}
attempts as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id,
        last_seen_at,
        {% for column, aggregate in {
            'records': 'sum', 'bytes': 'sum', 'first_seen_at': 'min',
        }.items() %}
            case
                when hop_addr is null
                    then
                        {{ aggregate }}(
                            case when hop_addr is null then {{ column }} end
                        ) over ({{ newest_first }} {{ all_of_it }})
                else
                    {{ aggregate }}({{ column }})
                        over ({{ newest_first }} {{ all_of_it }})
            end as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from contacts
    qualify row_number() over ({{ newest_first }}) = 1

),

{{ with_address_scopes('attempts', {'internal_addr': 'internal'}) }},

described as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        first_seen_at,
        last_seen_at,
        cast(records as bigint) as records,
        cast(bytes as bigint) as bytes,
        {{ internal_network('name', 'internal_hex', 'internal_ipv4') }}
            as internal_network,
        {{ internal_network('owner', 'internal_hex', 'internal_ipv4') }}
            as internal_owner,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id
    from scoped

)

select * from described
