{# Which end of a record is the client, which opened the flow. A record has a direction,
   but does not say who opened the flow. dbt finds out by the TCP flags, the ports, or
   the other records between the same two ends. #}


{# Services by port, with their IANA name or their usual one. #}
{% macro service_ports() %}
    {% do return({
        20: 'ftp-data', 21: 'ftp', 22: 'ssh', 23: 'telnet', 25: 'smtp', 53: 'dns',
        67: 'dhcp', 68: 'dhcp', 80: 'http', 88: 'kerberos', 110: 'pop3', 123: 'ntp',
        135: 'msrpc', 137: 'netbios', 138: 'netbios', 139: 'netbios', 143: 'imap',
        161: 'snmp', 179: 'bgp', 389: 'ldap', 443: 'https', 445: 'smb', 465: 'smtps',
        500: 'ike', 514: 'syslog', 587: 'submission', 636: 'ldaps', 853: 'dns-over-tls',
        873: 'rsync', 989: 'ftps-data', 990: 'ftps', 993: 'imaps', 995: 'pop3s',
        1194: 'openvpn', 1433: 'ms-sql', 1434: 'ms-sql-monitor', 1521: 'oracle',
        1883: 'mqtt', 2049: 'nfs', 2181: 'zookeeper', 2375: 'docker',
        2376: 'docker-tls', 2379: 'etcd', 2380: 'etcd-peer', 3128: 'squid',
        3260: 'iscsi', 3268: 'ldap-gc',
        3269: 'ldaps-gc', 3306: 'mysql', 3389: 'rdp', 4500: 'ipsec-nat-t', 5060: 'sip',
        5061: 'sips', 5432: 'postgresql', 5439: 'redshift', 5601: 'kibana',
        5671: 'amqps', 5672: 'amqp', 5900: 'vnc', 5985: 'winrm', 5986: 'winrm-tls',
        6379: 'redis', 6443: 'kubernetes', 6667: 'irc', 7001: 'weblogic',
        8000: 'http-alt', 8080: 'http-alt', 8443: 'https-alt', 8883: 'mqtts',
        8888: 'http-alt', 9000: 'http-alt', 9042: 'cassandra', 9092: 'kafka',
        9094: 'kafka-tls', 9100: 'node-exporter', 9200: 'elasticsearch',
        9300: 'elasticsearch-node', 9418: 'git', 10250: 'kubelet', 11211: 'memcached',
        27017: 'mongodb', 51820: 'wireguard',
    }) %}
{% endmacro %}


{# The name of a service: that of its port; else the protocol and port; else the
   protocol. #}
{% macro service_name(protocol, port) -%}
    case
        when {{ protocol }} in (6, 17) and {{ port }} is not null
            then
                case {{ port }}
                    {%- for number, name in vpc_flow_logs.service_ports().items() %}
                    when {{ number }} then '{{ name }}'
                    {%- endfor %}
                    else
                        case {{ protocol }} when 6 then 'tcp/' else 'udp/' end
                        || cast({{ port }} as varchar)
                end
        {%- for number, name in {
            1: 'icmp', 6: 'tcp', 17: 'udp', 47: 'gre', 50: 'esp', 58: 'icmp-v6',
            132: 'sctp',
        }.items() %}
        when {{ protocol }} = {{ number }} then '{{ name }}'
        {%- endfor %}
        else coalesce('protocol ' || cast({{ protocol }} as varchar), 'unknown')
    end
{%- endmacro %}


{# The client end of a record by its TCP flags: `src` for a SYN, `dst` for a SYN-ACK,
   null if it has neither. #}
{% macro client_end_by_flags() -%}
    case
        when protocol != 6 then null
        when {{ vpc_flow_logs.has_tcp_flags('tcp_flags', 18) }} then 'dst'
        when {{ vpc_flow_logs.has_tcp_flags('tcp_flags', 2) }} then 'src'
    end
{%- endmacro %}


{# The client end of a record by its ports: the end whose port is less likely to be a
   server's. Null if both are equally likely or there are none. #}
{% macro client_end_by_ports() -%}
    {%- set src_rank = vpc_flow_logs.port_rank('srcport') -%}
    {%- set dst_rank = vpc_flow_logs.port_rank('dstport') -%}
    case
        when protocol not in (6, 17, 132) then null
        when {{ dst_rank }} < {{ src_rank }} then 'src'
        when {{ src_rank }} < {{ dst_rank }} then 'dst'
    end
{%- endmacro %}


{# How likely a port is to be a server's, from 0 (most likely) to 3: system ports; ports
   of known services; ports below the range that Linux assigns to clients; that range. A
   client may also get the port of a known service in that range, so such a port ranks
   before the rest of the range and equal to the ports below it. #}
{% macro port_rank(port) -%}
    {%- set listed = vpc_flow_logs.service_ports() | list + var('admin_ports') -%}
    {%- set known = listed | unique | sort -%}
    {%- set below = known | select('>=', 1024) | select('<', 32768) -%}
    {%- set within = known | select('>=', 32768) | join(', ') -%}
    case
        when {{ port }} < 1024 then 0
        when {{ port }} in ({{ below | join(', ') }}) then 1
        when {{ port }} < 32768 or {{ port }} in ({{ within }}) then 2
        when {{ port }} is not null then 3
    end
{%- endmacro %}


{# One end of a sighting as text: its real address and its port. #}
{% macro flow_end(end) -%}
    coalesce(real_{{ end }}addr, '')
    || ' ' || coalesce(cast({{ end }}port as varchar), '')
{%- endmacro %}


{# Whether a sighting keeps both ports, because they don't show which end is the client,
   or has none. #}
{% macro has_both_ports() -%}
    (client_end is null or (srcport is not null and dstport is not null))
{%- endmacro %}


{# The methods that find the client of a conversation, the most reliable first. #}
{% macro orientation_methods() %}
    {% do return(['tcp_flags', 'pair', 'ports', 'flow_direction', 'unknown']) %}
{% endmacro %}


{# The most reliable method in a group of rows. #}
{% macro strongest_orientation() -%}
    case
        min(
            case orientation_method
                {%- for method in vpc_flow_logs.orientation_methods() %}
                when '{{ method }}' then {{ loop.index }}
                {%- endfor %}
            end
        )
        {%- for method in vpc_flow_logs.orientation_methods() %}
        when {{ loop.index }} then '{{ method }}'
        {%- endfor %}
    end
{%- endmacro %}
