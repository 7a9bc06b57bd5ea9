{{ top_talkers('interface', 'interface_id') }}
