{{ config(materialized='incremental') }}

select {{ var('top_n') }} as id
