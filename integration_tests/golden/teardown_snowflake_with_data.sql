drop stage if exists flow.landing.flow_logs_stage;

drop storage integration if exists vpc_flow_logs;

drop function if exists flow.analytics.ipv4_is_internal(varchar);

drop user if exists vpc_flow_logs_service;

drop table if exists flow.landing.flow_logs;

drop table if exists flow.landing.text_logs;

drop schema if exists flow.landing;

drop schema if exists flow.analytics;

drop database if exists flow;

drop role if exists vpc_flow_logs_analyst;

drop role if exists vpc_flow_logs_transformer;

drop role if exists vpc_flow_logs_loader;

drop warehouse if exists flow_wh;

drop resource monitor if exists flow_wh_monitor;
