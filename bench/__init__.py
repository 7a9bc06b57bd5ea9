"""The benchmark: this project against plain DuckDB SQL on the same files."""
