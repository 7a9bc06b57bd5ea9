{{ top_talkers('source', 'srcaddr') }}
