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
        else coalesce({{ vpc_flow_logs.protocol_name(protocol) }}, 'unknown')
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
        {#- Most records: without this their ranks would take time. #}
        when dstport < 1024 and srcport >= 1024 then 'src'
        when srcport < 1024 and dstport >= 1024 then 'dst'
        else
            case sign({{ dst_rank }} - {{ src_rank }})
                when -1 then 'src'
                when 1 then 'dst'
            end
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
    {%- set within = known | select('>=', 32768) -%}
    case
        when {{ port }} < 1024 then 0
        when {{ port }} >= 32768
            then case when {{ vpc_flow_logs.is_one_of(port, within) }} then 2 else 3 end
        when {{ vpc_flow_logs.is_one_of(port, below) }} then 1
        when {{ port }} is not null then 2
    end
{%- endmacro %}


{# The CTEs that find the client of connections whose ports don't show it, or whose
   flags show another one. The last CTE is `connection_clients`, with a row for each
   direction. `records` is the name of the CTE of all records.

   A SYN or SYN-ACK in any record decides for the whole connection. Otherwise the end
   that sent first is the client. If both ends sent first in the same second:
   - TCP: an outside peer is the client if other outside peers reach the same
     internal port. Otherwise the client is unknown.
   - UDP: the internal end is the client, if flow_direction shows it. The client is
     unknown if several outside peers reach this port from other ports.
   A connection with one direction alone has an unknown client: it may be the reply to
   traffic that is not logged. #}
{% macro connection_clients(records) -%}
undecided as (

    select
        *,
        coalesce(real_srcaddr, '') || ' ' || coalesce(cast(srcport as varchar), '')
        <= coalesce(real_dstaddr, '') || ' ' || coalesce(cast(dstport as varchar), '')
            as is_from_lower
    from {{ records }}
    where
        client_by_ports is null
        {# Where there are no flags, the ports need not be ranked again. #}
        or (client_by_flags is not null and client_by_flags != client_by_ports)

),

connections as (

    select
        started_date,
        protocol,
        case when is_from_lower then real_srcaddr else real_dstaddr end as lower_addr,
        case when is_from_lower then srcport else dstport end as lower_port,
        case when is_from_lower then real_dstaddr else real_srcaddr end as upper_addr,
        case when is_from_lower then dstport else srcport end as upper_port,
        max(
            case
                when (client_by_flags = 'src') = is_from_lower then 'lower'
                when client_by_flags is not null then 'upper'
            end
        ) as client_by_flags,
        min(case when is_from_lower then started_at end) as lower_sent_at,
        min(
            case
                when
                    not is_from_lower
                    or (
                        real_srcaddr = real_dstaddr
                        and srcport is not distinct from dstport
                    )
                    then started_at
            end
        ) as upper_sent_at,
        max(
            case flow_direction
                when 'egress'
                    then case when is_from_lower then 'lower' else 'upper' end
                when 'ingress'
                    then case when is_from_lower then 'upper' else 'lower' end
            end
        ) as interface_end
    from undecided
    group by all

),

sides as (

    select
        *,
        case
            when
                {{ vpc_flow_logs.ipv4_is_internal('lower_addr') }}
                = {{ vpc_flow_logs.ipv4_is_internal('upper_addr') }}
                then null
            when {{ vpc_flow_logs.ipv4_is_internal('lower_addr') }} then 'lower'
            else 'upper'
        end as internal_end
    from connections

),

{# Ends of connections that several addresses of the other side reach. #}
shared_ports as (

    {% for end, peer in [('lower', 'upper'), ('upper', 'lower')] %}
        select
            started_date,
            protocol,
            {{ end }}_addr as addr,
            {{ end }}_port as port
        from sides
        where protocol in (6, 17) and internal_end is not null
        group by started_date, protocol, {{ end }}_addr, {{ end }}_port
        having min({{ peer }}_addr) != max({{ peer }}_addr)
        {{ 'union distinct' if not loop.last }}
    {% endfor %}

),

opened as (

    select
        sides.*,
        case
            when sides.client_by_flags is not null then sides.client_by_flags
            when sides.lower_sent_at < sides.upper_sent_at then 'lower'
            when sides.upper_sent_at < sides.lower_sent_at then 'upper'
            when sides.lower_sent_at is null or sides.upper_sent_at is null then null
            when sides.protocol = 17
                then
                    case
                        when
                            sides.interface_end = sides.internal_end
                            and (
                                sides.lower_port = sides.upper_port
                                or case sides.internal_end
                                    when 'lower' then lower_ports.addr
                                    else upper_ports.addr
                                end is null
                            )
                            then sides.internal_end
                    end
            when sides.internal_end = 'lower' and lower_ports.addr is not null
                and upper_ports.addr is null then 'upper'
            when sides.internal_end = 'upper' and upper_ports.addr is not null
                and lower_ports.addr is null then 'lower'
        end as client,
        case
            when sides.client_by_flags is not null
                then {{ vpc_flow_logs.orientation_rank('tcp_flags') }}
            when sides.lower_sent_at != sides.upper_sent_at
                then {{ vpc_flow_logs.orientation_rank('pair') }}
            when sides.protocol = 17
                then {{ vpc_flow_logs.orientation_rank('flow_direction') }}
            else {{ vpc_flow_logs.orientation_rank('shared_port') }}
        end as orientation_rank
    from sides
    left join shared_ports as lower_ports
        on
            sides.started_date = lower_ports.started_date
            and sides.protocol = lower_ports.protocol
            and sides.lower_addr = lower_ports.addr
            and sides.lower_port = lower_ports.port
    left join shared_ports as upper_ports
        on
            sides.started_date = upper_ports.started_date
            and sides.protocol = upper_ports.protocol
            and sides.upper_addr = upper_ports.addr
            and sides.upper_port = upper_ports.port

),

connection_clients as (

    {% for src, dst in [('lower', 'upper'), ('upper', 'lower')] %}
        select
            started_date,
            protocol,
            {{ src }}_addr as srcaddr,
            {{ src }}_port as srcport,
            {{ dst }}_addr as dstaddr,
            {{ dst }}_port as dstport,
            case when client = '{{ src }}' then 'src' else 'dst' end as client_end,
            orientation_rank
        from opened
        where client is not null
        {% if loop.last %}
            {# Once, if both ends are the same. #}
            and (lower_addr != upper_addr or lower_port is distinct from upper_port)
        {% else %}
        union all
        {% endif %}
    {% endfor %}

)
{%- endmacro %}


{# The methods that find the client of a flow, the most reliable first. #}
{% macro orientation_methods() %}
    {% do return(
        ['tcp_flags', 'pair', 'ports', 'shared_port', 'flow_direction', 'unknown']
    ) %}
{% endmacro %}


{# The place of a method in that order, from 1. #}
{% macro orientation_rank(method) -%}
    {{ vpc_flow_logs.orientation_methods().index(method) + 1 }}
{%- endmacro %}


{# The method of a place in that order. #}
{% macro orientation_of_rank(rank) -%}
    case {{ rank }}
        {%- for method in vpc_flow_logs.orientation_methods() %}
        when {{ loop.index }} then '{{ method }}'
        {%- endfor %}
    end
{%- endmacro %}


{# The most reliable method in a group of rows. #}
{% macro strongest_orientation() -%}
    {%- set rank -%}
        case orientation_method
            {%- for method in vpc_flow_logs.orientation_methods() %}
            when '{{ method }}' then {{ loop.index }}
            {%- endfor %}
        end
    {%- endset -%}
    {{ vpc_flow_logs.orientation_of_rank('min(' ~ rank ~ ')') }}
{%- endmacro %}
