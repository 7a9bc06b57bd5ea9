{# A host of ours reaches a public mail server. #}

{{ vpc_flow_logs.ports_reached_outside('mail_to_internet', [25, 26]) }}
