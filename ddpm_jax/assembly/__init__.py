"""From a config to the parts: the only place, besides the jobs, that reads one.

One `build_*` for each thing. A choice by name is a plain dict; an unknown name is an error that lists it.
"""
