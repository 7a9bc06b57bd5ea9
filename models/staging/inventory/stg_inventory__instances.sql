{# One row per snapshot and EC2 instance. #}

{{ vpc_flow_logs.inventory_rows('instances') }}
