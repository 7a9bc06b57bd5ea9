{# A host of ours connects to public addresses of a country that the variable
   unexpected_countries lists. #}

{% set countries = var('unexpected_countries') %}

{{ vpc_flow_logs.contacts_in_context(
    'unexpected_country',
    role='client',
    kind='country',
    condition="country in ('" ~ countries | join("', '") ~ "')",
) }}
