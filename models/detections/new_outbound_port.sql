{# A host of ours that keeps to its ports of public servers uses a new one. #}

{{ vpc_flow_logs.first_seen(
    'new_outbound_port',
    own='client',
    thing='server_port',
    condition=vpc_flow_logs.is_outside_end('server') ~ ' and server_port < 32768',
    port='server_port',
) }}
