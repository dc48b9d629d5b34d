"""The packaged policies: host.toml and one file for each bundled plugin. Seeded into the data directory at first run."""
