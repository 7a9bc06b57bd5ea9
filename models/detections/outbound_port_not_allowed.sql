{# A host of ours exchanges data with a public address on a port that the variable
   allowed_outbound_ports does not allow. #}

{{ vpc_flow_logs.ports_not_allowed(
    'outbound_port_not_allowed', 'allowed_outbound_ports', role='client'
) }}
