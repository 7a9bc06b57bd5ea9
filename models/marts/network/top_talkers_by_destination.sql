{{ top_talkers('destination', 'dstaddr') }}
