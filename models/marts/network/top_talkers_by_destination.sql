{{ vpc_flow_logs.top_talkers('destination', 'dstaddr') }}
