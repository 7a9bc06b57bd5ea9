{# One row per snapshot and address of a network interface. #}

{{ vpc_flow_logs.inventory_rows('interfaces') }}
