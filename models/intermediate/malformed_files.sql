{# One row per file that isn't a readable flow log, or is a copy. No model counts its
   records. On DuckDB the loader finds these files; on Snowflake a query over landing
   does. #}

{{ vpc_flow_logs.malformed_files() }}
