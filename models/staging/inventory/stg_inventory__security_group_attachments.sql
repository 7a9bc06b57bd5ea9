{# One row per snapshot and security group of a network interface. #}

{{ vpc_flow_logs.inventory_rows('security_group_attachments') }}
