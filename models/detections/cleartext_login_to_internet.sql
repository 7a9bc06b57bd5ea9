{# A host of ours reaches a public address on a port where passwords are readable. #}

{{ vpc_flow_logs.ports_reached_outside(
    'cleartext_login_to_internet',
    [21, 23, 110, 143]
) }}
