"""One file per `--mode`, told from top to bottom. Jobs share files on disk, not code."""
