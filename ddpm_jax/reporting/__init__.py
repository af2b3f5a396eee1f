"""From results to sentences, tables and the page: dicts in, text out; no device."""
