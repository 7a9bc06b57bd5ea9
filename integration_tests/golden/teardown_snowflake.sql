drop pipe if exists flow.landing.flow_logs;

drop pipe if exists flow.landing.text_logs;

drop stage if exists flow.landing.flow_logs_stage;

drop storage integration if exists vpc_flow_logs;

drop function if exists flow.analytics.ipv4_is_internal(varchar);

drop user if exists vpc_flow_logs_service;

drop network policy if exists vpc_flow_logs_service_network;

drop role if exists vpc_flow_logs_analyst;

drop role if exists vpc_flow_logs_transformer;

drop role if exists vpc_flow_logs_loader;

drop warehouse if exists flow_wh;
