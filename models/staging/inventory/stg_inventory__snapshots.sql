{# One row per snapshot and account, region and kind. #}

{{ vpc_flow_logs.inventory_rows('snapshots') }}
