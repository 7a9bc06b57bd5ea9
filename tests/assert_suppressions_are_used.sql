{# Entries of detection_suppressions that have expired or cover no finding of the
   window. #}

{{ config(severity='warn') }}

{{ vpc_flow_logs.unused_suppressions() }}
