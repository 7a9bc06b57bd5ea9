{# Names in place of numbers, and the community id, by which other tools name a
   connection. #}


{# The keywords of IANA's protocol numbers, in lower case, from 0 on; the number itself
   where there is no keyword.
   https://www.iana.org/assignments/protocol-numbers #}
{% macro iana_protocols() %}
    {% set keywords %}
        hopopt icmp igmp ggp ipv4 st tcp cbt egp igp bbn-rcc-mon nvp-ii pup argus
        emcon xnet chaos udp mux dcn-meas hmp prm xns-idp trunk-1 trunk-2 leaf-1
        leaf-2 rdp irtp iso-tp4 netblt mfe-nsp merit-inp dccp 3pc idpr xtp ddp
        idpr-cmtp tp++ il ipv6 sdrp ipv6-route ipv6-frag idrp rsvp gre dsr bna esp ah
        i-nlsp swipe narp min-ipv4 tlsp skip ipv6-icmp ipv6-nonxt ipv6-opts 61 cftp 63
        sat-expak kryptolan rvd ippc 68 sat-mon visa ipcv cpnx cphb wsn pvp br-sat-mon
        sun-nd wb-mon wb-expak iso-ip vmtp secure-vmtp vines iptm nsfnet-igp dgp tcf
        eigrp ospfigp sprite-rpc larp mtp ax.25 ipip micp scc-sp etherip encap 99 gmtp
        ifmp pnni pim aris scps qnx a/n ipcomp snp compaq-peer ipx-in-ip vrrp pgm 114
        l2tp ddx iatp stp srp uti smp sm ptp isis-over-ipv4 fire crtp crudp sscopmce
        iplt sps pipe sctp fc rsvp-e2e-ignore mobility-header udplite mpls-in-ip manet
        hip shim6 wesp rohc ethernet aggfrag nsh homa bit-emu
    {% endset %}
    {% do return(keywords.split()) %}
{% endmacro %}


{# The name of an IP protocol; `protocol 200` where there is none; null for null. #}
{% macro protocol_name(protocol) -%}
    case {{ protocol }}
        {%- for keyword in vpc_flow_logs.iana_protocols() %}
        {%- if keyword != loop.index0 | string %}
        when {{ loop.index0 }} then '{{ keyword }}'
        {%- endif %}
        {%- endfor %}
        else 'protocol ' || cast({{ protocol }} as varchar)
    end
{%- endmacro %}


{# The names of the TCP flags of a record, such as `SYN,ACK`; null without flags. #}
{% macro tcp_flag_names(tcp_flags) -%}
    nullif(
        substr(
            {%- for flag in ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'] %}
            {{ '|| ' if not loop.first -}}
            case
                when {{ vpc_flow_logs.has_tcp_flags(tcp_flags, 2 ** loop.index0) }}
                    then ',{{ flag }}' else ''
            end
            {%- endfor %},
            2
        ),
        ''
    )
{%- endmacro %}


{# CTEs that add the column `community_id` to the records of a CTE; the last one is
   `with_community_ids`. Other tools compute the same id for the connection, with the
   seed 0. It is null for ICMP, because its id needs the type and code, which flow logs
   don't have. https://github.com/corelight/community-id-spec #}
{% macro with_community_id(records) -%}
{{ vpc_flow_logs.parse_addresses(records, {'srcaddr': 'src', 'dstaddr': 'dst'}) }},

{# The bytes of the id as hexadecimal digits. #}
hexadecimal_ends as (

    select
        *
        {%- for end in ['src', 'dst'] %},
        coalesce({{ end }}_hex, {{ vpc_flow_logs.hex_digits(end ~ '_ipv4', 8) }})
            as {{ end }}_address,
        case
            when protocol in (1, 58) then null
            when protocol not in (6, 17, 132) then ''
            else {{ vpc_flow_logs.hex_digits(end ~ 'port', 4) }}
        end as {{ end }}_port
        {%- endfor %}
    from parsed

),

{# The lower end comes first. #}
ordered_ends as (

    select
        *,
        {{ vpc_flow_logs.hex_digits('protocol', 2) }} as protocol_hex,
        {%- for part in ['address', 'port'] %}
        case
            when src_address || src_port < dst_address || dst_port
                then src_{{ part }} || dst_{{ part }}
            else dst_{{ part }} || src_{{ part }}
        end as {{ part }}{{ 'es,' if loop.first else 's' }}
        {%- endfor %}
    from hexadecimal_ends

),

with_community_ids as (

    select
        *,
        '1:' || {{ vpc_flow_logs.base64_of_sha1(
            "'0000' || addresses || protocol_hex || '00' || ports"
        ) }} as community_id
    from ordered_ends

)
{%- endmacro %}


{# The SHA-1 digest, in base64, of bytes given as hexadecimal digits. #}
{% macro base64_of_sha1(digits) -%}
    {{ return(adapter.dispatch('base64_of_sha1', 'vpc_flow_logs')(digits)) }}
{%- endmacro %}

{% macro duckdb__base64_of_sha1(digits) -%}
    to_base64(unhex(sha1(unhex({{ digits }}))))
{%- endmacro %}

{% macro snowflake__base64_of_sha1(digits) -%}
    base64_encode(sha1_binary(to_binary({{ digits }}, 'HEX')))
{%- endmacro %}
