{# One row per rank: the network interfaces with the most accepted bytes in the window,
   as each interface saw them. The three top_talkers marts share this macro. #}

{{ vpc_flow_logs.top_talkers('interface', 'interface_id') }}
