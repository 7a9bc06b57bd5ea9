{{ vpc_flow_logs.malformed_files() }}
