{# One row per rank: the destination addresses with the most accepted bytes in the
   window, as each interface saw them. The three top_talkers marts share this macro. #}

{{ vpc_flow_logs.top_talkers('destination', 'dstaddr') }}
