"""From a config to the parts. Besides the jobs, this is the only place that reads a config.

There is one `build_*` for each thing. A choice by name is a plain dict; an unknown name raises an error.
"""
