{# Addresses on a list of the kind `tor` connect to a host of ours. #}

{{ vpc_flow_logs.contacts_in_context(
    'tor_client',
    role='server',
    kind='list',
    condition=vpc_flow_logs.is_on_list_of('tor'),
) }}
