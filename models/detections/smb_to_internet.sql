{# A host of ours reaches a public address on a port of Windows file sharing or RPC.
   #}

{{ vpc_flow_logs.ports_reached_outside('smb_to_internet', [135, 137, 138, 139, 445]) }}
