{# A public address reaches a port of Windows file sharing or RPC of ours. #}

{{ vpc_flow_logs.ports_reached_from_outside(
    'windows_port_from_public',
    [135, 139, 445]
) }}
