{# A public address reaches a port of Telnet, WinRM or VNC of ours. #}

{{ vpc_flow_logs.ports_reached_from_outside(
    'remote_admin_from_public',
    [23, 5900, 5901, 5985, 5986]
) }}
