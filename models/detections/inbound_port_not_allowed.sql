{# A public address exchanges data with a host of ours on a port that the variable
   allowed_inbound_ports does not allow. #}

{{ vpc_flow_logs.ports_not_allowed(
    'inbound_port_not_allowed', 'allowed_inbound_ports', role='server'
) }}
