select * from {{ ref('vpc_flow_logs', 'admin_exposure') }}
