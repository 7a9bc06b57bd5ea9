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
        'blocked_egress',
        'new_admin_exposure',
        'east_west_admin',
        'upload_above_baseline',
        'records_skipped',
    ]) %}
{% endmacro %}


{# The rules that are on: all but those in the variable `disabled_detections`, which
   must be names of rules. #}
{% macro enabled_detections() %}
    {% set rules = vpc_flow_logs.detection_rules() %}
    {% for name in var('disabled_detections') + var('detection_thresholds') | list
        if name not in rules %}
        {% do exceptions.raise_compiler_error(
            "There is no detection '" ~ name ~ "'. docs/detections.md lists them."
        ) %}
    {% endfor %}
    {% do return(rules | reject('in', var('disabled_detections')) | list) %}
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


{# The measures of a finding that are sums over rows of int_traffic__daily_flows. #}
{% macro flow_measures() -%}
    cast(sum(records) as bigint) as records,
    cast(sum(client_bytes + server_bytes) as bigint) as bytes,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    max(case when orientation_method = 'tcp_flags' then 1 else 0 end) = 1
        as has_tcp_flags
{%- endmacro %}


{# Whether a row of int_traffic__daily_flows only tries a port: the traffic was
   rejected, or has no more packets than an opening that is not answered or is closed at
   once. #}
{% macro is_probe() -%}
    (action = 'REJECT' or client_packets + server_packets <= 3 * records)
{%- endmacro %}


{# A CTE `flows` of the clients that try at least as many ports and hosts in a day as
   the threshold of a rule. Few do, so the rule aggregates few rows. #}
{% macro flows_of_probing_clients(rule_id) -%}
{%- set rollup = ref('vpc_flow_logs', 'int_traffic__daily_flows') -%}
probing_clients as (

    select
        started_date,
        client_addr
    from {{ rollup }}
    where server_port is not null and {{ vpc_flow_logs.is_probe() }}
    group by started_date, client_addr
    having count(*) >= {{ vpc_flow_logs.threshold(rule_id) }}

),

flows as (

    select rollup.*
    from {{ rollup }} as rollup
    inner join probing_clients
        on
            rollup.started_date = probing_clients.started_date
            and rollup.client_addr = probing_clients.client_addr

)
{%- endmacro %}


{# Whether an end of a row of int_traffic__daily_flows is ours: `end` is client or
   server, `flows` the alias of the rows. The IPv6 addresses of a VPC are public, so
   users list them in `internal_cidrs`. A join with the interfaces' addresses in each
   rule would need more memory than DuckDB has. #}
{% macro is_own_end(end, flows='flows') -%}
    {{ flows }}.{{ end }}_scope = 'internal'
{%- endmacro %}


{# Whether the other end is public and not ours. #}
{% macro is_outside_end(end, flows='flows') -%}
    {{ flows }}.{{ end }}_scope = 'public'
{%- endmacro %}


{# The view of a rule: public addresses reach one of the ports of ours. The entity is
   our end, and the number is that of public addresses. #}
{% macro ports_reached_from_outside(rule_id, ports) -%}
    {{ vpc_flow_logs.ports_reached(rule_id, ports, 'client', 'server') }}
{%- endmacro %}


{# The view of a rule: hosts of ours reach one of the ports of public addresses. The
   entity is our end, and the number is that of public addresses. #}
{% macro ports_reached_outside(rule_id, ports) -%}
    {{ vpc_flow_logs.ports_reached(rule_id, ports, 'server', 'client') }}
{%- endmacro %}


{# The view of a rule on accepted traffic to some ports, between an end that is outside
   and one of ours, which is the entity. #}
{% macro ports_reached(rule_id, ports, outside, own) -%}
    select
        flows.started_date,
        flows.{{ own }}_addr as entity,
        cast(null as varchar) as peer,
        flows.server_port as port,
        flows.protocol,
        cast(count(distinct flows.{{ outside }}_addr) as bigint) as observed,
        {{ vpc_flow_logs.flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
    where
        flows.server_port in ({{ ports | join(', ') }})
        and flows.protocol in (6, 17)
        and flows.action = 'ACCEPT'
        and {{ vpc_flow_logs.is_outside_end(outside) }}
        and {{ vpc_flow_logs.is_own_end(own) }}
    group by flows.started_date, flows.{{ own }}_addr, flows.server_port, flows.protocol
    having
        count(distinct flows.{{ outside }}_addr)
        >= {{ vpc_flow_logs.threshold(rule_id) }}
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


{# A text that changes with the rules: their SQL, their thresholds, and which are on. #}
{% macro rules_version() %}
    {% set parts = [var('lookback_days')] %}
    {% if execute %}
        {% for rule_id in vpc_flow_logs.enabled_detections() %}
            {% set node = graph.nodes['model.vpc_flow_logs.' ~ rule_id] %}
            {% do parts.append([
                rule_id, node.raw_code, vpc_flow_logs.threshold(rule_id)
            ]) %}
        {% endfor %}
    {% endif %}
    {% do return(local_md5(tojson(parts))) %}
{% endmacro %}


{# The condition that a day must be evaluated: the first day whose rows in the rollup
   are newer than its findings, and all later days, because rules that compare a day
   with earlier ones may change there. dbt looks back twice the window, because such
   rules look back one window from each day of it. `evaluated` is the model of findings,
   which has a row without rule for each day that it evaluated. #}
{% macro in_days_to_evaluate(rollup, evaluated, version) %}
    {% set last = vpc_flow_logs.as_of() %}
    {% set first = last - modules.datetime.timedelta(days=2 * var('lookback_days')) %}
    {% set horizon = vpc_flow_logs.between_days(first, last) %}
    {% if not execute or not is_incremental() %}
        {% do return(horizon) %}
    {% endif %}

    {% set since = vpc_flow_logs.watermark(evaluated, 'loaded_through_at') %}
    {% set changed = run_query(
        'with days as (select started_date, max(loaded_through_at) as loaded_through_at'
        ~ ' from ' ~ rollup ~ ' where ' ~ horizon ~ ' group by started_date)'
        ~ ' select min(days.started_date) from days left join ' ~ evaluated ~ ' as done'
        ~ ' on days.started_date = done.started_date and done.rule_id is null'
        ~ ' where done.started_date is null'
        ~ " or done.rules_version != '" ~ version ~ "'"
        ~ ' or days.loaded_through_at > done.loaded_through_at'
        ~ ' or ' ~ vpc_flow_logs.is_loaded_after(since, 'days.loaded_through_at')
    ).columns[0].values()[0] %}
    {% do log(this.identifier ~ ' evaluates from ' ~ changed) %}
    {% if changed is none %}
        {% do return('false') %}
    {% endif %}
    {% do return(vpc_flow_logs.between_days(changed, last)) %}
{% endmacro %}


{# The condition that a row is of one of the days between two. #}
{% macro between_days(first, last) -%}
    started_date between {{ vpc_flow_logs.date_literal(first) }}
        and {{ vpc_flow_logs.date_literal(last) }}
{%- endmacro %}


{# A sentence of the registry as SQL: `{entity}` and the like become the columns. #}
{% macro finding_text(template) -%}
    {%- set columns = {
        'entity': 'entity',
        'peer': "coalesce(peer, 'unknown')",
        'port': "coalesce(cast(port as varchar), 'any')",
        'protocol': "coalesce(cast(protocol as varchar), 'any')",
        'observed': 'cast(observed as varchar)',
        'megabytes': 'cast(cast(floor(observed / 1000000) as bigint) as varchar)',
        'records': 'cast(records as varchar)',
    } -%}
    {%- set text = namespace(sql=dbt.escape_single_quotes(template)) -%}
    {%- for name, column in columns.items() -%}
        {%- set text.sql = text.sql | replace('{' ~ name ~ '}', "' || " ~ column
            ~ " || '") -%}
    {%- endfor -%}
    '{{ text.sql }}'
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
    max(case when has_tcp_flags then 1 else 0 end) = 1 as has_tcp_flags
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
{% macro in_history(started_date) -%}
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
        from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as history
        where {{ vpc_flow_logs.in_history('history.started_date') }}
    )
{%- endmacro %}
