"""One verb a file: what `--mode` names, told from top to bottom. Jobs meet in files, not in code."""
