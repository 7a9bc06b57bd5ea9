create resource monitor if not exists flow_wh_monitor with
    credit_quota = 50
    frequency = monthly
    start_timestamp = immediately
    triggers on 80 percent do notify on 100 percent do suspend;

alter resource monitor flow_wh_monitor set
    credit_quota = 50;

alter warehouse flow_wh set resource_monitor = flow_wh_monitor;
