{# A public address reaches a database port of ours. #}

{{ vpc_flow_logs.ports_reached_from_outside(
    'database_port_from_public',
    [1433, 1521, 3306, 5432, 5439, 6379, 9042, 9200, 11211, 27017]
) }}
