{# A host of ours reaches a public address on a port of IRC. #}

{{ vpc_flow_logs.ports_reached_outside(
    'irc_to_internet',
    [6660, 6661, 6662, 6663, 6664, 6665, 6666, 6667, 6668, 6669, 6697]
) }}
