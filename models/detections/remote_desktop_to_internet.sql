{# A host of ours reaches a public address on a port of RDP or VNC. #}

{{ vpc_flow_logs.ports_reached_outside(
    'remote_desktop_to_internet',
    [3389, 5900, 5901]
) }}
