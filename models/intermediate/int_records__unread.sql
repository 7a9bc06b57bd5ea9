{# The records of landing that the models haven't read yet, typed: the one statement of
   a run that reads landing. Models read this table instead. Each run replaces it. #}

{% set since = vpc_flow_logs.unread_since() %}

select * from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
{# A first build reads landing itself: this table would be a copy of it. #}
where {{ vpc_flow_logs.is_loaded_after(since) if since is not none else 'false' }}
