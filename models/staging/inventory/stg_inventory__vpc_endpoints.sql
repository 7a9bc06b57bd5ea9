{# One row per snapshot and VPC endpoint; of a gateway one, for each route table. #}

{{ vpc_flow_logs.inventory_rows('vpc_endpoints') }}
