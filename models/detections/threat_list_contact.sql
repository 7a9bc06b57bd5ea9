{# A host of ours connects to a public address on a list of the kind `threat`. #}

{{ vpc_flow_logs.contacts_in_context(
    'threat_list_contact',
    role='client',
    kind='list',
    condition=vpc_flow_logs.is_on_list_of('threat'),
    by_peer=true,
) }}
