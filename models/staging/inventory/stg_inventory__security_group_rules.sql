{# One row per snapshot and rule of a security group. #}

{{ vpc_flow_logs.inventory_rows('security_group_rules') }}
