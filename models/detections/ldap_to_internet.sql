{# A host of ours reaches a public address on a port of LDAP or Kerberos. #}

{{ vpc_flow_logs.ports_reached_outside(
    'ldap_to_internet',
    [88, 389, 636, 1389, 3268, 3269]
) }}
