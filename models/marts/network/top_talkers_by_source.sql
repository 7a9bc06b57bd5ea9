{{ vpc_flow_logs.top_talkers('source', 'srcaddr') }}
