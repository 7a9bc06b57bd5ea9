{# One row per snapshot and range of a VPC. #}

{{ vpc_flow_logs.inventory_rows('vpcs') }}
