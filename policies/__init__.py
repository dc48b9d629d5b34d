"""The packaged policies: host.toml and one file for each bundled plugin, copied into a new data directory."""
