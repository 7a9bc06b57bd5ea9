{{ vpc_flow_logs.top_talkers('interface', 'interface_id') }}
