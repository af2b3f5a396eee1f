"""A config that notes which of its fields are read."""

from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

Note = Callable[[str, Any], None]


class View(ConfigDict):
    """A config like `of`; `note(dotted name, value)` is called for each field that is read.

    Enumerating a section reads all of it. A field that is set in a copy is not noted from then on,
    because its value comes from the program.
    """

    def __init__(self, of: ConfigDict, note: Note, path: str = "") -> None:
        # ConfigDict has attributes besides its fields; plain assignment would set a field.
        for name, value in vars(of).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_of", of)
        object.__setattr__(self, "_note", note)
        object.__setattr__(self, "_path", path)

    def __getitem__(self, key: str) -> Any:
        value, name = super().__getitem__(key), self._path + str(key)
        if isinstance(value, View):  # the key is dotted, and was noted on the way
            return value
        if isinstance(value, ConfigDict):
            return View(value, self._note, f"{name}.")
        self._note(name, value)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(self._note, _ButSet):
            raise TypeError(f"{self._path}{key} is set while a stage runs; set it in a copy")
        super().__setitem__(key, value)
        self._note.own.add(self._path + key)

    def copy_and_resolve_references(self, visit_map: Any = None) -> "View":
        """A copy whose fields can be set; reads from it are noted like reads from this one."""
        return View(self._of.copy_and_resolve_references(), _ButSet(self._note), self._path)

    def __iter__(self) -> Iterator[str]:
        self._note_all()
        return super().__iter__()

    def __len__(self) -> int:
        self._note_all()
        return super().__len__()

    def keys(self) -> list[str]:
        self._note_all()
        return super().keys()

    def items(self, preserve_field_references: bool = False) -> list[tuple[str, Any]]:
        return [(name, self[name]) for name in self.keys()]

    def values(self, preserve_field_references: bool = False) -> list[Any]:
        return [value for _, value in self.items()]

    def to_dict(self, visit_map: Any = None, preserve_field_references: bool = False) -> Any:
        return {
            name: value.to_dict() if isinstance(value, View) else value
            for name, value in self.items()
        }

    def _note_all(self) -> None:
        if self._path:
            self._note(self._path.removesuffix("."), names(self._of))
        for name, value in leaves(self._of, self._path):
            self._note(name, value)


class _ButSet:
    """Passes notes on, except those of fields that were set."""

    def __init__(self, note: Note) -> None:
        self.note, self.own = note, set[str]()

    def __call__(self, name: str, value: Any) -> None:
        if name not in self.own:
            self.note(name, value)


def leaves(config: ConfigDict, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of each field, those of nested sections included."""
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def names(config: ConfigDict) -> list[str]:
    """The names in a section: noted, besides its fields, when the section is enumerated."""
    return sorted(map(str, config.keys()))


def field(config: ConfigDict, name: str) -> Any:
    """What a view of `config` notes under this dotted name; None if there is no such field."""
    value: Any = config
    for part in name.split("."):
        if not isinstance(value, ConfigDict) or part not in value:
            return None
        value = value[part]
    return names(value) if isinstance(value, ConfigDict) else value


def unseen(config: ConfigDict) -> ConfigDict:
    """The config behind a view; reads from it are not noted."""
    return config._of if isinstance(config, View) else config
