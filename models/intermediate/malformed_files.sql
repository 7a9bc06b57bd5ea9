{{ malformed_files() }}
