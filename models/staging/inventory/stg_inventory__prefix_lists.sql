{# One row per snapshot and entry of a managed prefix list. #}

{{ vpc_flow_logs.inventory_rows('prefix_lists') }}
