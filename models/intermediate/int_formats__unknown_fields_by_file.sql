{{ config(unique_key=['name', 'metadata_filename']) }}

{% set since = read_since(this, 'loaded_at') if is_incremental() else none %}

with

fields as (

    {{ unknown_fields(since) }}

),

aggregated as (

    select
        name,
        metadata_filename,
        min(loaded_at) as first_loaded_at,
        max(loaded_at) as loaded_at
    from fields
    where {{ is_of_a_readable_file() }}
    group by name, metadata_filename

)

select * from aggregated
