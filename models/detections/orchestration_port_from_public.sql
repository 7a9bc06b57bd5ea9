{# A public address reaches a port that controls containers or clusters of ours. #}

{{ vpc_flow_logs.ports_reached_from_outside(
    'orchestration_port_from_public',
    [2375, 2376, 2379, 6443, 10250]
) }}
