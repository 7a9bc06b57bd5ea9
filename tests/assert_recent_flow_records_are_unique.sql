{# No file loaded since yesterday has more records than row numbers between its first
   and its last. Comparing every record would cost as much as the rollups; the test of
   the whole key, tagged `audit`, does. #}
with

files as (

    select
        metadata_filename,
        count(*) as records,
        max(metadata_file_row_number) - min(metadata_file_row_number) + 1 as places
    from {{ ref('flow_records') }}
    where loaded_at >= current_date - 1
    group by metadata_filename

)

select * from files
where records > places
