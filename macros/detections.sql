{# What the models of models/detections share. A rule is one view there; its entry in
   _detections__models.yml has its title, severity, threshold and texts. #}


{# The rules, in the order of docs/detections.md. #}
{% macro detection_rules() %}
    {% do return([
        'port_scan_vertical',
        'port_scan_horizontal',
        'contacts_that_fail',
        'refused_then_accepted',
        'ssh_brute_force',
        'rdp_brute_force',
        'login_brute_force',
        'brute_force_by_many',
        'database_port_from_public',
        'windows_port_from_public',
        'remote_admin_from_public',
        'orchestration_port_from_public',
        'smb_to_internet',
        'ldap_to_internet',
        'remote_desktop_to_internet',
        'irc_to_internet',
        'mail_to_internet',
        'mail_to_many_servers',
        'cleartext_login_to_internet',
        'dns_to_internet',
        'dns_tunnel',
        'icmp_tunnel',
        'uncommon_protocol',
        'mining_pool',
        'amplifier',
        'syn_flood',
        'connection_flood',
        'packet_flood',
        'blocked_egress',
        'new_admin_exposure',
        'east_west_admin',
        'upload_above_baseline',
        'upload_to_new_network',
        'beacon',
        'long_connection',
        'slow_scan',
        'smb_spike',
        'new_destination',
        'new_outbound_port',
        'new_service',
        'inbound_port_not_allowed',
        'outbound_port_not_allowed',
        'threat_list_contact',
        'tor_client',
        'unexpected_country',
        'records_skipped',
        'interface_silent',
        'logs_interrupted',
    ]) %}
{% endmacro %}


{# The rules that are on: all but those in the variable `disabled_detections`, which
   must be names of rules, and those whose kind of enrichment files is missing. #}
{% macro enabled_detections() %}
    {% set rules = vpc_flow_logs.detection_rules() %}
    {% for name in var('disabled_detections') + var('detection_thresholds') | list
        if name not in rules %}
        {% do exceptions.raise_compiler_error(
            "There is no detection '" ~ name ~ "'. docs/detections.md lists them."
        ) %}
    {% endfor %}
    {% set kinds = vpc_flow_logs.kinds_of_ranges() %}
    {% set enabled = [] %}
    {% for rule_id in rules | reject('in', var('disabled_detections')) %}
        {% if vpc_flow_logs.detection(rule_id).get('needs') in [none] + kinds %}
            {% do enabled.append(rule_id) %}
        {% endif %}
    {% endfor %}
    {% do return(enabled) %}
{% endmacro %}


{# What the registry says of a rule: the `meta` of its model. Empty while dbt parses. #}
{% macro detection(rule_id) %}
    {% set node = graph.nodes['model.vpc_flow_logs.' ~ rule_id] if execute %}
    {% do return(node.config.meta if node else {}) %}
{% endmacro %}


{# The threshold of a rule: that of the variable `detection_thresholds`, or the
   registry's. #}
{% macro threshold(rule_id) -%}
    {{ var('detection_thresholds').get(
        rule_id, vpc_flow_logs.detection(rule_id).get('threshold', 0)
    ) }}
{%- endmacro %}


{# The measures of a finding that are sums over rows of int_traffic__daily_flows or
   int_detections__flows. #}
{% macro flow_measures() -%}
    cast(sum(records) as bigint) as records,
    cast(sum(client_bytes + server_bytes) as bigint) as bytes,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    max(case when orientation_method = 'tcp_flags' then 1 else 0 end) = 1
        as has_tcp_flags,
    max(
        case when observed_records_without_side < observed_records then 1 else 0 end
    ) = 1 as has_flow_direction
{%- endmacro %}


{# The measures of a finding that are sums over rows with those of flow_measures. The
   first time of a row of int_detections__contacts is `started_at`. #}
{% macro sums_of_flow_measures(first_seen_at='first_seen_at') -%}
    cast(sum(records) as bigint) as records,
    cast(sum(bytes) as bigint) as bytes,
    min({{ first_seen_at }}) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    max(case when has_tcp_flags then 1 else 0 end) = 1 as has_tcp_flags,
    max(case when has_flow_direction then 1 else 0 end) = 1 as has_flow_direction
{%- endmacro %}


{# Whether a row of int_detections__flows only tries a port: the traffic was
   rejected, or has no more packets than an opening that is not answered or is closed at
   once. #}
{% macro is_probe() -%}
    (action = 'REJECT' or client_packets + server_packets <= 3 * records)
{%- endmacro %}


{# Whether a row only tries a port as scans do: a few times. Health checks, idle
   connections and software that tries again have more records in a day. Answers that
   come too late are refused as well, but without a packet of the client. #}
{% macro is_scan() -%}
    ({{ vpc_flow_logs.is_probe() }} and records <= 20 and client_packets > 0)
{%- endmacro %}


{# Whether a row shows that nothing answers: UDP, or packets as small as a SYN, to a
   server that sends nothing. NAT gateways drop what they did not ask for, but AWS logs
   it as accepted. #}
{% macro is_unanswered() -%}
    (server_packets = 0 and (protocol = 17 or client_bytes <= 80 * client_packets))
{%- endmacro %}


{# Whether a port is that of a known service, by service_ports or below 1024. #}
{% macro is_service_port(port) -%}
    {%- set ports = vpc_flow_logs.service_ports() | select('>=', 1024) | list -%}
    ({{ port }} < 1024 or {{ vpc_flow_logs.is_one_of(port, ports) }})
{%- endmacro %}


{# A CTE `flows` of the clients that try at least as many ports and hosts in a day as
   the threshold of a rule. Few do, so the rule aggregates few rows. #}
{% macro flows_of_probing_clients(rule_id) -%}
probing_clients as (

    select
        started_date,
        client_addr
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where server_port is not null and {{ vpc_flow_logs.is_scan() }}
    group by started_date, client_addr
    having count(*) >= {{ vpc_flow_logs.threshold(rule_id) }}

),

flows as (

    select all_flows.*
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as all_flows
    inner join probing_clients
        on
            all_flows.started_date = probing_clients.started_date
            and all_flows.client_addr = probing_clients.client_addr

)
{%- endmacro %}


{# How many ports or hosts a client must try: the threshold of a rule for a client of
   ours, and five times as many for others, since the internet scans every address every
   day. #}
{% macro scan_threshold(rule_id) -%}
    case when is_own_client then 1 else 5 end * {{ vpc_flow_logs.threshold(rule_id) }}
{%- endmacro %}


{# Whether an end of a row of int_detections__flows is ours: `end` is client or server,
   `flows` the alias of the rows. #}
{% macro is_own_end(end, flows='flows') -%}
    {{ flows }}.is_own_{{ end }}
{%- endmacro %}


{# Whether the other end is public and not ours. #}
{% macro is_outside_end(end, flows='flows') -%}
    {{ flows }}.{{ end }}_scope = 'public' and not {{ flows }}.is_own_{{ end }}
{%- endmacro %}


{# The view of a rule: public addresses reach one of the ports of ours. The entity is
   our end, and the number is that of public addresses. #}
{% macro ports_reached_from_outside(rule_id, ports) -%}
    {{ vpc_flow_logs.ports_reached(rule_id, ports, 'server') }}
{%- endmacro %}


{# The view of a rule: hosts of ours reach one of the ports of public addresses. The
   entity is our end, and the number is that of public addresses. #}
{% macro ports_reached_outside(rule_id, ports) -%}
    {{ vpc_flow_logs.ports_reached(rule_id, ports, 'client') }}
{%- endmacro %}


{# The view of a rule on accepted traffic to some ports, between an end that is outside
   and one of ours, which is the entity and has the role. #}
{% macro ports_reached(rule_id, ports, role) -%}
    select
        started_date,
        host_addr as entity,
        cast(null as varchar) as peer,
        port,
        protocol,
        peers as observed,
        records,
        bytes,
        first_seen_at,
        last_seen_at,
        has_tcp_flags,
        has_flow_direction
    from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }}
    where
        host_role = '{{ role }}'
        and is_outside
        and port in ({{ ports | join(', ') }})
        and peers >= {{ vpc_flow_logs.threshold(rule_id) }}
{%- endmacro %}


{# The view of a rule: a client makes at least as many attempts to log in to one server,
   on one of the ports, within an hour as the threshold. #}
{% macro login_attempts_on(rule_id, ports) -%}
    select
        started_date,
        client_addr as entity,
        server_addr as peer,
        port,
        protocol,
        max(login_attempts) as observed,
        {{ vpc_flow_logs.login_measures() }}
    from {{ ref('vpc_flow_logs', 'int_traffic__hourly_logins') }}
    where
        port in ({{ ports | join(', ') }})
        and login_attempts >= {{ vpc_flow_logs.threshold(rule_id) }}
    group by started_date, client_addr, server_addr, port, protocol
{%- endmacro %}


{# The key of a finding as 32 hexadecimal digits, equal on both engines and in every
   run. #}
{% macro finding_id() -%}
    md5(
        rule_id || ' ' || entity
        {%- for part in ['peer', 'port', 'protocol'] %}
        || ' ' || coalesce(cast({{ part }} as varchar), '-')
        {%- endfor %}
    )
{%- endmacro %}


{# A text that changes with the rules: their SQL, that of the macros and the views that
   they use, their thresholds, and which are on. #}
{% macro rules_version() %}
    {% set parts = {} %}
    {# Also while dbt parses, for the models that it reads. #}
    {% set enabled = vpc_flow_logs.enabled_detections() %}
    {% if execute %}
        {% for rule_id in enabled %}
            {% do parts.update({rule_id: vpc_flow_logs.threshold(rule_id)}) %}
            {% do vpc_flow_logs.add_code(
                graph.nodes['model.vpc_flow_logs.' ~ rule_id], parts
            ) %}
        {% endfor %}
        {% do parts.update({
            'lookback_days': var('lookback_days'),
            'allowed_inbound_ports': var('allowed_inbound_ports'),
            'allowed_outbound_ports': var('allowed_outbound_ports'),
            'unexpected_countries': var('unexpected_countries'),
        }) %}
    {% endif %}
    {% do return(local_md5(tojson(parts, sort_keys=true))) %}
{% endmacro %}


{# A text that changes with the code of this model, and what it uses. #}
{% macro code_version() %}
    {% set parts = {} %}
    {% if execute %}
        {% do vpc_flow_logs.add_code(graph.nodes[model.unique_id], parts) %}
    {% endif %}
    {% do return(local_md5(tojson(parts, sort_keys=true))) %}
{% endmacro %}


{# Adds the code of a model or a macro to `parts`, and that of what it uses: macros, and
   the models of models/intermediate/detections. #}
{% macro add_code(node, parts) %}
    {% if node.unique_id not in parts %}
        {% do parts.update({node.unique_id: node.raw_code or node.macro_sql}) %}
        {% for unique_id in node.depends_on.nodes
            if unique_id.startswith('model.vpc_flow_logs.int_detections__') %}
            {% do vpc_flow_logs.add_code(graph.nodes[unique_id], parts) %}
        {% endfor %}
        {% for unique_id in node.depends_on.macros
            if unique_id.startswith('macro.vpc_flow_logs.') %}
            {% set name = unique_id.split('.')[2] %}
            {% do vpc_flow_logs.add_code(vpc_flow_logs[name].macro, parts) %}
            {% set of_engine = vpc_flow_logs[target.type ~ '__' ~ name] %}
            {% if of_engine %}
                {% do vpc_flow_logs.add_code(of_engine.macro, parts) %}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}


{# The condition that a day must be evaluated: the first day whose rows in the rollups
   are newer than its findings, and all later days, because rules that compare a day
   with earlier ones may change there. dbt looks back twice the window, because such
   rules look back one window from each day of it. `evaluated` is the model of findings,
   which has a row without rule for each day that it evaluated. #}
{% macro in_days_to_evaluate(evaluated, version) %}
    {% set last = vpc_flow_logs.as_of() %}
    {% set days = vpc_flow_logs.stale_days(evaluated, version) %}
    {% if days is none %}
        {% do return(vpc_flow_logs.in_horizon()) %}
    {% endif %}
    {% do return(vpc_flow_logs.between_days(days[0], last) if days else 'false') %}
{% endmacro %}


{# The days, as text and sorted, whose rows in `evaluated` are older than those in the
   rollups, are of another version, or are missing; none on a first or full build. A day
   for which `condition` does not hold is not stale. #}
{% macro stale_days(evaluated, version, condition=none) %}
    {% if not execute or not is_incremental() %}
        {% do return(none) %}
    {% endif %}
    {% set since = vpc_flow_logs.watermark(evaluated, 'loaded_through_at') %}
    {% set days = run_query(
        'with ' ~ vpc_flow_logs.loaded_days(condition) ~ ', done as ('
        ~ ' select started_date, min(rules_version) as rules_version,'
        ~ ' min(loaded_through_at) as loaded_through_at'
        ~ ' from ' ~ evaluated ~ ' group by started_date)'
        ~ ' select loaded.started_date from loaded left join done'
        ~ ' on loaded.started_date = done.started_date'
        ~ ' where done.started_date is null'
        ~ " or done.rules_version != '" ~ version ~ "'"
        ~ ' or loaded.loaded_through_at > done.loaded_through_at'
        ~ ' or ' ~ vpc_flow_logs.is_loaded_after(since, 'loaded.loaded_through_at')
        ~ ' order by loaded.started_date'
    ).columns[0].values() | map('string') | list %}
    {% do log(this.identifier ~ ' evaluates from ' ~ (days | first)) %}
    {% do return(days) %}
{% endmacro %}


{# A CTE `loaded` of the days for which a condition holds, or those that findings may be
   made of, with the load time up to which all rollups count a day. #}
{% macro loaded_days(condition=none) -%}
loaded as (

    select
        started_date,
        min(loaded_through_at) as loaded_through_at
    from {{ ref('vpc_flow_logs', 'int_detections__days') }}
    where {{ condition or vpc_flow_logs.in_horizon() }}
    group by started_date

)
{%- endmacro %}


{# A CTE `every_day`: the columns of a CTE on the days of `loaded` that are stale, and
   for a day without rows one row of nulls. So the next run sees which days were read,
   by which version and up to which load. #}
{% macro every_day(cte, days, version, columns) -%}
every_day as (

    select
        loaded.started_date,
        {% for column in columns %}
            {{ cte }}.{{ column }},
        {% endfor %}
        '{{ version }}' as rules_version,
        loaded.loaded_through_at
    from loaded
    left join {{ cte }} on loaded.started_date = {{ cte }}.started_date
    where {{ vpc_flow_logs.on_days(days, 'loaded.started_date') }}

)
{%- endmacro %}


{# The condition that a day is one that findings may be made of: those of the window,
   and of one window before. #}
{% macro in_horizon(started_date='started_date') -%}
    {%- set last = vpc_flow_logs.as_of() -%}
    {%- set days = modules.datetime.timedelta(days=2 * var('lookback_days')) -%}
    {{ vpc_flow_logs.between_days(last - days, last, started_date) }}
{%- endmacro %}


{# The condition that a row is of one of the days between two. #}
{% macro between_days(first, last, started_date='started_date') -%}
    {{ started_date }} between {{ vpc_flow_logs.date_literal(first) }}
        and {{ vpc_flow_logs.date_literal(last) }}
{%- endmacro %}


{# A sentence of the registry as SQL. `{entity}` and the like become the columns, and
   `{observed port}` a number with its noun. #}
{% macro finding_text(template) -%}
    {%- set texts = {
        'entity': 'entity',
        'peer': "coalesce(peer, 'unknown')",
        'port': "coalesce(cast(port as varchar), 'any')",
        'protocol': "coalesce(cast(protocol as varchar), 'any')",
        'observed': 'cast(observed as varchar)',
        'megabytes': 'cast(cast(floor(observed / 1000000) as bigint) as varchar)',
    } -%}
    {%- set text = namespace(sql=dbt.escape_single_quotes(template)) -%}
    {%- for name, column in texts.items() -%}
        {%- set text.sql = text.sql | replace('{' ~ name ~ '}', "' || " ~ column
            ~ " || '") -%}
    {%- endfor -%}
    {%- for noun in modules.re.findall('{observed ([^}]+)}', template) -%}
        {%- set text.sql = text.sql | replace('{observed ' ~ noun ~ '}', "' || "
            ~ vpc_flow_logs.counted('observed', noun) ~ " || '") -%}
    {%- endfor -%}
    '{{ text.sql }}'
{%- endmacro %}


{# A number with its noun: `1 port`, `2 ports`, `2 addresses`. #}
{% macro counted(number, noun) -%}
    cast({{ number }} as varchar) || ' {{ noun }}'
    || case {{ number }}
        when 1 then ''
        else '{{ 'es' if noun.endswith('s') else 's' }}'
    end
{%- endmacro %}


{# The ports whose connections int_traffic__hourly_logins counts: FTP, SSH, Telnet, RDP
   and WinRM. #}
{% macro login_ports() %}
    {% do return([21, 22, 23, 3389, 5985, 5986]) %}
{% endmacro %}


{# The measures of a finding that are sums over rows of int_traffic__hourly_logins. #}
{% macro login_measures() -%}
    cast(sum(records) as bigint) as records,
    cast(sum(bytes) as bigint) as bytes,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    max(case when has_tcp_flags then 1 else 0 end) = 1 as has_tcp_flags,
    cast(null as boolean) as has_flow_direction
{%- endmacro %}


{# The entries of the seed detection_suppressions that hold on the reference date. #}
{% macro detection_suppressions() %}
    {% set seed = ref('vpc_flow_logs', 'detection_suppressions') %}
    {% set entries = [] %}
    {% if execute and load_relation(seed) is not none %}
        {% set columns = ['rule', 'entity_range', 'peer_range', 'port', 'reason'] %}
        {% set names = columns | join(', ') %}
        {% for row in run_query(
            'select ' ~ names ~ ' from ' ~ seed
            ~ ' where until is null or until >= '
            ~ vpc_flow_logs.date_literal(vpc_flow_logs.as_of()) ~ ' order by ' ~ names
        ).rows %}
            {% do entries.append(dict(zip(columns, row.values()))) %}
        {% endfor %}
    {% endif %}
    {% do return(entries) %}
{% endmacro %}


{# The condition that an entry of the seed detection_suppressions covers a finding of
   the CTE `findings`, which has the numbers of parse_addresses. #}
{% macro is_suppressed_by(entry, findings) -%}
    {%- set source = 'detection_suppressions' -%}
    {%- set pattern = entry.rule | replace('*', '.*') -%}
    {%- set rules = [] -%}
    {%- for rule_id in vpc_flow_logs.detection_rules()
        if modules.re.fullmatch(pattern, rule_id) -%}
        {%- do rules.append(rule_id) -%}
    {%- endfor -%}
    {%- if not rules -%}
        {%- do exceptions.raise_compiler_error(
            source ~ ": no rule is called '" ~ entry.rule ~ "'"
        ) -%}
    {%- endif -%}
    {{ findings }}.rule_id in ('{{ rules | join("', '") }}')
    {%- for end in ['entity', 'peer'] if entry[end ~ '_range'] %}
    and {{ vpc_flow_logs.address_in_cidr(
        entry[end ~ '_range'],
        findings ~ '.' ~ end ~ '_hex',
        findings ~ '.' ~ end ~ '_ipv4',
        source
    ) }}
    {%- endfor %}
    {%- if entry.port is not none %}
    and {{ findings }}.port = {{ entry.port }}
    {%- endif %}
{%- endmacro %}


{# The reason of the first entry of the seed detection_suppressions that covers a
   finding; null if none does. #}
{% macro suppressed_by(findings) -%}
    {%- set entries = vpc_flow_logs.detection_suppressions() -%}
    cast(
        {%- if entries %}
        case
            {%- for entry in entries %}
            when {{ vpc_flow_logs.is_suppressed_by(entry, findings) }}
                then {{ dbt.string_literal(dbt.escape_single_quotes(entry.reason)) }}
            {%- endfor %}
        end
        {%- else -%}
        null
        {%- endif %} as varchar
    )
{%- endmacro %}


{# A query of the entries of the seed detection_suppressions that have expired or cover
   no finding of the window. #}
{% macro unused_suppressions() -%}
    {%- set seed = ref('vpc_flow_logs', 'detection_suppressions') -%}
    {%- set findings = ref('vpc_flow_logs', 'findings') -%}
    {%- set entries = vpc_flow_logs.detection_suppressions() -%}
    with expired as (

        select
            rule,
            reason,
            'expired' as problem
        from {{ seed }}
        where until < {{ vpc_flow_logs.date_literal(vpc_flow_logs.as_of()) }}

    )
    {%- if entries %},

    {{ vpc_flow_logs.parse_addresses(findings, {'entity': 'entity', 'peer': 'peer'}) }}
    {%- endif %}

    select * from expired
    {%- for entry in entries %}
    union all
    select
        {{ dbt.string_literal(dbt.escape_single_quotes(entry.rule)) }} as rule,
        {{ dbt.string_literal(dbt.escape_single_quotes(entry.reason)) }} as reason,
        'covers no finding' as problem
    from parsed
    where {{ vpc_flow_logs.is_suppressed_by(entry, 'parsed') }}
    having count(*) = 0
    {%- endfor %}
{%- endmacro %}


{# The number of hours whose bits are set; `hours` has a bit for each hour of a day. #}
{% macro hours_in(hours) -%}
    cast(
        {% for hour in range(24) -%}
        {{ '+ ' if not loop.first }}case
            when {{ vpc_flow_logs.has_hour_bit(hours, 2 ** hour) }} then 1 else 0 end
        {% endfor -%}
        as bigint
    )
{%- endmacro %}


{# The condition that a day is one that a rule with a history may look at: those that
   are evaluated, and a window before them. #}
{% macro in_history(started_date='started_date') -%}
    {%- set last = vpc_flow_logs.as_of() -%}
    {%- set first = last - modules.datetime.timedelta(days=3 * var('lookback_days')) -%}
    {{ started_date }}
        between {{ vpc_flow_logs.date_literal(first) }}
        and {{ vpc_flow_logs.date_literal(last) }}
{%- endmacro %}


{# Whether something that was last seen on a day is new: it was never seen, or not in
   the window before `started_date`. #}
{% macro is_new_since(previous_date) -%}
    (
        {{ previous_date }} is null
        or {{ dbt.datediff(previous_date, 'started_date', 'day') }}
        > {{ var('lookback_days') }}
    )
{%- endmacro %}


{# Whether the rollup goes back far enough before `started_date` to say what is new:
   seven days, or the window if that is shorter. #}
{% macro has_history() -%}
    {%- set days = [7, var('lookback_days')] | min -%}
    started_date >= (
        select {{ dbt.dateadd('day', days, 'min(history.started_date)') }}
        from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }} as history
        where {{ vpc_flow_logs.in_history('history.started_date') }}
    )
{%- endmacro %}


{# The end of a rule on what is new to a host of ours. The CTE `seen` has a row for each
   of its days and things, with the measures of a finding. A thing is new if the host
   did not have it in the window before, although it had seven days of traffic there,
   and nothing new on its last seven. If more than two hosts get the same on a day, the
   environment changed. `peer`, `port` and `protocol` show the thing if it is the only
   one of the day. #}
{% macro first_seen(rule_id) -%}
    dated as (

        select
            *,
            lag(started_date) over (
                partition by entity, thing order by started_date
            ) as previous_date
        from seen

    ),

    marked as (

        select
            *,
            case
                when {{ vpc_flow_logs.is_new_since('previous_date') }} then 1
                else 0
            end as is_new
        from dated

    ),

    days as (

        select
            started_date,
            entity,
            sum(is_new) as new_things
        from marked
        group by started_date, entity

    ),

    settled as (

        select
            *,
            lag(started_date, 7) over (
                partition by entity order by started_date
            ) as seventh_date,
            sum(new_things) over (
                partition by entity order by started_date
                rows between 7 preceding and 1 preceding
            ) as earlier_new_things
        from days

    ),

    new_things as (

        select
            *,
            count(*) over (partition by started_date, thing) as hosts
        from marked
        where is_new = 1

    ),

    found as (

        select new_things.*
        from new_things
        inner join settled
            on
                new_things.started_date = settled.started_date
                and new_things.entity = settled.entity
        where
            new_things.hosts <= 2
            and settled.earlier_new_things = 0
            and {{ dbt.datediff(
                'settled.seventh_date', 'settled.started_date', 'day'
            ) }} <= {{ var('lookback_days') }}

    )

    select
        started_date,
        entity,
        case when count(*) = 1 then min(peer) end as peer,
        case when count(*) = 1 then min(port) end as port,
        case when min(protocol) = max(protocol) then min(protocol) end as protocol,
        cast(count(*) as bigint) as observed,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from found
    group by started_date, entity
    having count(*) >= {{ vpc_flow_logs.threshold(rule_id) }}
{%- endmacro %}


{# How regular a measure is, from 0 to 1: the mean of 1 - |Bowley's skewness| and of
   (median - MAD) / median, from the columns of its quartiles and its median absolute
   deviation. #}
{% macro regularity(measure) -%}
    {%- set q1, q2, q3 = measure ~ '_q1', measure ~ '_q2', measure ~ '_q3' -%}
    (
        case
            when {{ q2 }} in ({{ q1 }}, {{ q3 }}) then 1
            else 1 - abs({{ q1 }} + {{ q3 }} - 2 * {{ q2 }}) / ({{ q3 }} - {{ q1 }})
        end
        + case
            when {{ q2 }} > {{ measure }}_mad
                then ({{ q2 }} - {{ measure }}_mad) / {{ q2 }}
            else 0
        end
    ) / 2
{%- endmacro %}


{# The network of an address, as it changes owner: /16 of IPv4, /32 of IPv6. #}
{% macro wide_network(address) -%}
    case
        when {{ address }} like '%:%'
            then
                split_part({{ address }}, ':', 1)
                || ':' || split_part({{ address }}, ':', 2)
        else
            split_part({{ address }}, '.', 1)
            || '.' || split_part({{ address }}, '.', 2)
    end
{%- endmacro %}


{# The end of a rule on a host's own baseline. The CTE `measured` has a row for each of
   its days, with `observed` and the measures of a finding. A day is far above the
   others if it is more than six times the median absolute deviation (MAD) above the
   median of at least seven days in the window before, and more than twice that
   median. #}
{% macro above_baseline(rule_id) -%}
    large as (

        select * from measured
        where observed >= {{ vpc_flow_logs.threshold(rule_id) }}

    ),

    earlier as (

        select
            large.started_date,
            large.entity,
            measured.observed
        from large
        inner join measured
            on
                large.entity = measured.entity
                and large.started_date > measured.started_date
                and {{ dbt.datediff(
                    'measured.started_date', 'large.started_date', 'day'
                ) }} <= {{ var('lookback_days') }}

    ),

    medians as (

        select
            started_date,
            entity,
            median(observed) as median_observed,
            count(*) as earlier_days
        from earlier
        group by started_date, entity

    ),

    deviations as (

        select
            medians.started_date,
            medians.entity,
            max(medians.median_observed) as median_observed,
            max(medians.earlier_days) as earlier_days,
            median(abs(earlier.observed - medians.median_observed)) as mad
        from medians
        inner join earlier
            on
                medians.started_date = earlier.started_date
                and medians.entity = earlier.entity
        group by medians.started_date, medians.entity

    )

    select
        large.started_date,
        large.entity,
        cast(null as varchar) as peer,
        cast(null as bigint) as port,
        cast(null as bigint) as protocol,
        large.observed,
        large.records,
        large.bytes,
        large.first_seen_at,
        large.last_seen_at,
        large.has_tcp_flags,
        large.has_flow_direction
    from large
    inner join deviations
        on
            large.started_date = deviations.started_date
            and large.entity = deviations.entity
    where
        deviations.earlier_days >= 7
        and large.observed > deviations.median_observed + 6 * deviations.mad
        and large.observed > 2 * deviations.median_observed
{%- endmacro %}


{# The view of a rule: a host of ours in a range of a variable exchanges data with
   public addresses on a port that the variable does not list for the range. Without
   ranges it has no rows. #}
{% macro ports_not_allowed(rule_id, variable, role) -%}
    {%- set ranges = var(variable) -%}
    with

    reached as (

        select
            *,
            host_addr as entity
        from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }}
        where
            host_role = '{{ role }}'
            and is_outside
            and exchanging_peers >= {{ vpc_flow_logs.threshold(rule_id) }}
            and {{ 'true' if ranges else 'false' }}

    ),

    {{ vpc_flow_logs.parse_addresses('reached', {'entity': 'entity'}) }}

    select
        started_date,
        entity,
        cast(null as varchar) as peer,
        port,
        protocol,
        exchanging_peers as observed,
        records,
        bytes,
        first_seen_at,
        last_seen_at,
        has_tcp_flags,
        has_flow_direction
    from parsed
    where
        (
            false
            {%- for range in ranges %}
            or coalesce({{ vpc_flow_logs.address_in_cidr(
                range, 'entity_hex', 'entity_ipv4', variable
            ) }}, false)
            {%- endfor %}
        )
        {%- for range, ports in ranges.items() if ports %}
        and not (
            port in ({{ ports | join(', ') }})
            and coalesce({{ vpc_flow_logs.address_in_cidr(
                range, 'entity_hex', 'entity_ipv4', variable
            ) }}, false)
        )
        {%- endfor %}
{%- endmacro %}
