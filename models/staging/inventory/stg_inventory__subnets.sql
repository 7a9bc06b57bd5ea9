{# One row per snapshot and subnet. #}

{{ vpc_flow_logs.inventory_rows('subnets') }}
