-- Sends new findings from Snowflake, as docs/schedules.md describes. The names are those of
-- docs/snowflake.md; run it as the transformer role. The notification integration FLOW_ALERTS
-- must exist.

create table if not exists flow.analytics.sent_alerts
    (finding_id varchar, receiver varchar, sent_at varchar);

-- A finding is remembered after it was sent. If the alert fails in between, its next run sends
-- this finding again.
create alert if not exists flow.analytics.vpc_flow_logs_findings
    warehouse = flow_wh
    schedule = 'using cron 37 * * * * UTC'
    comment = 'Sends new findings of the dbt project vpc_flow_logs'
    if (exists (
        select finding_id
        from flow.analytics.findings
        where
            not is_suppressed
            and finding_id not in (
                select finding_id from flow.analytics.sent_alerts where receiver = 'snowflake'
            )
    ))
then
begin
    let new_findings resultset := (
        select
            finding_id,
            upper(severity) || ': ' || title || '. ' || replace(summary, '"', '''')
                as message
        from flow.analytics.findings
        where
            not is_suppressed
            and finding_id not in (
                select finding_id from flow.analytics.sent_alerts where receiver = 'snowflake'
            )
        order by
            case severity
                when 'critical' then 0 when 'high' then 1 when 'medium' then 2 else 3
            end,
            first_seen_at,
            finding_id
        limit 100
    );
    for finding in new_findings do
        let id varchar := finding.finding_id;
        let message varchar := finding.message;
        call system$send_snowflake_notification(
            snowflake.notification.text_plain(
                snowflake.notification.sanitize_webhook_content(:message)
            ),
            snowflake.notification.integration('FLOW_ALERTS')
        );
        insert into flow.analytics.sent_alerts
        select :id, 'snowflake', cast(sysdate() as varchar);
    end for;
end;

alter alert flow.analytics.vpc_flow_logs_findings resume;
