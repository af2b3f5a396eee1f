"""Which fields of a config code reads: a witness that asks neither the config nor a view of it."""

import contextlib
import sys

from ml_collections import ConfigDict


class Reads:
    """Dotted names of the fields that are read, of configs of type `of`, while `on()`.

    The dictionary that holds its fields tells which section a config is: a view shares it with the config
    behind it. A field that was set in a config of this type does not count.
    """

    def __init__(self, monkeypatch, of=ConfigDict):
        self.names, self.recording = set(), False
        self._paths, self._set, self._alive = {}, {}, []
        get, put = ConfigDict.__getitem__, ConfigDict.__setitem__
        copy = ConfigDict.copy_and_resolve_references

        def watched_get(config, key):
            value = get(config, key)
            path = (*self._paths.get(id(config._fields), ()), key)
            if isinstance(value, ConfigDict):
                self._remember(value, path)
            elif self.recording and isinstance(config, of) and not self._passes(config, key):
                self.names.add(".".join(path))
            return value

        def watched_put(config, key, value):
            put(config, key, value)
            if self.recording and isinstance(config, of):
                self._set.setdefault(id(config._fields), set()).add(key)

        def watched_copy(config, visit_map=None):
            made = copy(config, visit_map)
            self._remember(made, self._paths.get(id(config._fields), ()))
            return made

        monkeypatch.setattr(ConfigDict, "__getitem__", watched_get)
        monkeypatch.setattr(ConfigDict, "__setitem__", watched_put)
        monkeypatch.setattr(ConfigDict, "copy_and_resolve_references", watched_copy)

    def _passes(self, config, key):
        was_set = key in self._set.get(id(config._fields), ())
        copied = type(config) is ConfigDict and sys._getframe(2).f_code.co_name in (
            "to_dict",
            "items",
        )
        return was_set or copied

    def _remember(self, config, path):
        self._paths[id(config._fields)] = path
        self._alive.append(config._fields)  # so that no other object gets its id

    @contextlib.contextmanager
    def on(self):
        self.names, self.recording = set(), True
        yield
        self.recording = False
