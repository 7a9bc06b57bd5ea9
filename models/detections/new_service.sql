{# A host of ours that keeps to the ports that it serves serves a new one. Systems
   assign ports from 32768 on by themselves, so those don't count. #}

{{ vpc_flow_logs.first_seen(
    'new_service',
    own='server',
    thing='server_port',
    condition='server_port < 32768',
    port='server_port',
) }}
