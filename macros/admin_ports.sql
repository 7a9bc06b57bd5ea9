{# Whether a port and protocol are administrative: SSH is TCP alone, RDP speaks UDP as
   well, and of the ports that users add either may be meant. #}
{% macro is_admin_port(port, protocol) -%}
    (
        {%- for admin_port in var('admin_ports') %}
        {{ 'or ' if not loop.first -}}
        (
            {{ port }} = {{ admin_port }}
            and {{ protocol }} in ({{ '6' if admin_port == 22 else '6, 17' }})
        )
        {%- endfor %}
    )
{%- endmacro %}


{# Whether all the bits of a number in tcp_flags are set; null if tcp_flags is. #}
{% macro has_tcp_flags(tcp_flags, bits) -%}
    {{ return(adapter.dispatch('has_tcp_flags', 'vpc_flow_logs')(tcp_flags, bits)) }}
{%- endmacro %}

{% macro duckdb__has_tcp_flags(tcp_flags, bits) -%}
    (({{ tcp_flags }} & {{ bits }}) = {{ bits }})
{%- endmacro %}

{% macro snowflake__has_tcp_flags(tcp_flags, bits) -%}
    (bitand({{ tcp_flags }}, {{ bits }}) = {{ bits }})
{%- endmacro %}
