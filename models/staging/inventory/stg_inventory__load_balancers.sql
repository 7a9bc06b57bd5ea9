{# One row per snapshot and load balancer. #}

{{ vpc_flow_logs.inventory_rows('load_balancers') }}
