{# A client opens many short RDP connections to one server within an hour, each as long
   as an attempt to log in. #}

{{ vpc_flow_logs.login_attempts_on('rdp_brute_force', [3389]) }}
