{# Whether a port and protocol are administrative: TCP for port 22, TCP and UDP for the
   others in the variable `admin_ports`. #}
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


{# Whether tcp_flags has all bits of a number set; null if tcp_flags is null. #}
{% macro has_tcp_flags(tcp_flags, bits) -%}
    {{ return(adapter.dispatch('has_tcp_flags', 'vpc_flow_logs')(tcp_flags, bits)) }}
{%- endmacro %}

{% macro duckdb__has_tcp_flags(tcp_flags, bits) -%}
    (({{ tcp_flags }} & {{ bits }}) = {{ bits }})
{%- endmacro %}

{% macro snowflake__has_tcp_flags(tcp_flags, bits) -%}
    (bitand({{ tcp_flags }}, {{ bits }}) = {{ bits }})
{%- endmacro %}
