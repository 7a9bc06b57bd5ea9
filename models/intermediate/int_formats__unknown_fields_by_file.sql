{{ config(unique_key=['field', 'metadata_filename']) }}

{% set since = read_since(this, 'loaded_at') if is_incremental() else none %}

with

fields as (

    {{ unknown_fields(since) }}

),

aggregated as (

    select
        field,
        metadata_filename,
        min(loaded_at) as first_loaded_at,
        max(loaded_at) as loaded_at
    from fields
    group by field, metadata_filename

)

select * from aggregated
