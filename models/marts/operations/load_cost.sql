{# One row per UTC day on which files were loaded: their number and size, and what
   Snowpipe charged. #}

with

loads as (

    select
        *,
        cast({{ vpc_flow_logs.load_time_in_utc('loaded_at') }} as date) as loaded_date
    from {{ ref('vpc_flow_logs', 'int_health__loads') }}

),

credits as (

    {{ vpc_flow_logs.load_credits() }}

),

days as (

    select
        loaded_date,
        cast(count(case when status = 'loaded' then 1 end) as bigint) as files,
        cast(count(case when status = 'failed' then 1 end) as bigint) as failed_files,
        cast(sum(records) as bigint) as records,
        cast(sum(size_bytes) as bigint) as bytes,
        cast(sum(bytes_billed) as bigint) as bytes_billed
    from loads
    group by loaded_date

),

priced as (

    select
        days.*,
        credits.credits
    from days
    left join credits on days.loaded_date = credits.loaded_date

)

select * from priced
