{# One row per address of the flows of the window. Without enrichment files and without
   an inventory it has no rows. #}

{% set rules = ref('vpc_flow_logs', 'int_security_groups__rules') %}
{% set is_read = vpc_flow_logs.kinds_of_ranges() | length > 0
    or not vpc_flow_logs.is_empty(rules) %}

with {{ vpc_flow_logs.addresses_of_flows(
    vpc_flow_logs.in_window('flows.started_date') if is_read else 'false'
) }}

select * from addresses_of_flows
