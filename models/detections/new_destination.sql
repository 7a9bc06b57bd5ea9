{# A host of ours that keeps to its networks outside reaches a new one. DNS and NTP
   don't count: their servers change. #}

{{ vpc_flow_logs.first_seen(
    'new_destination',
    own='client',
    thing=vpc_flow_logs.wide_network('server_addr'),
    condition=vpc_flow_logs.is_outside_end('server')
    ~ ' and server_port not in (53, 123)',
    peer='server_addr',
) }}
