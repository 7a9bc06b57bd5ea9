{# A client opens many short FTP, Telnet or WinRM connections to one server within an
   hour, each as long as an attempt to log in. #}

{{ vpc_flow_logs.login_attempts_on('login_brute_force', [21, 23, 5985, 5986]) }}
