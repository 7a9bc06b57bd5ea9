{# One row per snapshot and route table. #}

{{ vpc_flow_logs.inventory_rows('route_tables') }}
