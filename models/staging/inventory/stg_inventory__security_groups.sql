{# One row per snapshot and security group. #}

{{ vpc_flow_logs.inventory_rows('security_groups') }}
