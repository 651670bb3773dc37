"""PySide6 spoken as PythonQt, the binding inside Slicer: properties are attributes, signals are named by signature.

The classes of PySide6 are changed for the whole process, so that every Qt object speaks this way, whoever made it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from slicerhost.ui_loader import UiLoader

_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)
# Virtual in C++ as well: a property of this name would be taken for an override of the function, and call itself.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


class _Property:
    """A Qt property as an attribute of the instance; on the class, what PySide6 has under that name."""

    def __init__(self, name: str, original: Any) -> None:
        self.name, self.original = name, original

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.original if instance is None else _PROPERTY(instance, self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        _SET_PROPERTY(instance, self.name, value)


_PROPERTY = QtCore.QObject.property
_SET_PROPERTY = QtCore.QObject.setProperty


def _signal(sender: Any, signature: str) -> Any:
    """Return the signal of a C++ signature; stand-in widgets declare theirs in Python, in a table.

    Raises:
        ValueError: if the sender has no such signal; PythonQt would only print this.
    """
    name = getattr(type(sender), "SLICER_SIGNALS", {}).get(signature)
    if name is not None:
        return getattr(sender, name)
    normalised = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    if sender.metaObject().indexOfSignal(normalised) < 0:
        msg = f"{type(sender).__name__} has no signal {signature}"
        raise ValueError(msg)
    return getattr(sender, signature.partition("(")[0])


def _connect(self: Any, signature: str, slot: Callable[..., Any]) -> bool:
    _signal(self, signature).connect(slot)
    return True


def _disconnect(self: Any, signature: str, slot: Callable[..., Any]) -> bool:
    return bool(_signal(self, signature).disconnect(slot))


_BY_SIGNATURE = {"connect": _connect, "disconnect": _disconnect}


def _change_attributes(cls: type) -> None:
    """Put our `connect` before PySide6's own, and refuse attributes that Qt does not know, as PythonQt does.

    An object whose class was made in Python takes any attribute, there as here.
    """
    get = cls.__getattribute__

    def get_attribute(self: Any, name: str) -> Any:
        if name not in _BY_SIGNATURE:
            return get(self, name)

        def by_signature(*arguments: Any) -> bool:
            if len(arguments) == 2 and isinstance(arguments[0], str):
                return _BY_SIGNATURE[name](self, *arguments)
            return bool(get(self, name)(*arguments))  # as PySide6 itself calls it, for QTimer.singleShot

        return by_signature

    def set_attribute(self: Any, name: str, value: Any) -> None:
        known = inspect.getattr_static(type(self), name, None)
        if isinstance(known, QtCore.Property):
            _SET_PROPERTY(self, name, value)
        elif hasattr(known, "__set__"):
            known.__set__(self, value)
        elif known is None and type(self).__module__.startswith("PySide6"):
            msg = f"{type(self).__name__} has no property '{name}'; PythonQt would not create one"
            raise AttributeError(msg)
        else:
            self.__dict__[name] = value

    cls.__getattribute__, cls.__setattr__ = get_attribute, set_attribute  # type: ignore[assignment, method-assign]


def _dynamic_property(self: Any, name: str) -> Any:
    """Find dynamic properties, such as those a .ui file sets on a widget, as attributes."""
    if not name.startswith("__") and name.encode() in [bytes(one.data()) for one in self.dynamicPropertyNames()]:
        return _PROPERTY(self, name)
    msg = f"{type(self).__name__} has no attribute '{name}'"
    raise AttributeError(msg)


def add_properties(cls: type) -> None:
    """Make the properties that a class adds to its base into attributes."""
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _VIRTUAL:
            setattr(cls, name, _Property(name, getattr(cls, name, None)))


def _refuse_buttons_in_the_constructor() -> None:
    """Refuse what PythonQt takes for an orientation, enums being numbers there: the box would have no buttons."""
    box = QtWidgets.QDialogButtonBox
    make = box.__init__

    def init(self: Any, *arguments: Any) -> None:
        if arguments and isinstance(arguments[0], box.StandardButton):
            msg = "Give a QDialogButtonBox its buttons with setStandardButtons"
            raise TypeError(msg)
        make(self, *arguments)

    box.__init__ = init  # type: ignore[method-assign]


@functools.cache
def install() -> types.ModuleType:
    """Change PySide6 and return the module `qt`, also to be had by `import qt`."""
    qt = types.ModuleType("qt")
    for module in _MODULES:
        for name in dir(module):
            value = getattr(module, name)
            if not name.startswith("_"):
                setattr(qt, name, value)
            if isinstance(value, type) and issubclass(value, QtCore.QObject):
                add_properties(value)
                _change_attributes(value)
    base: Any = QtCore.QObject
    base.name = _Property("objectName", None)
    base.className = lambda self: self.metaObject().className()
    base.__getattr__ = _dynamic_property
    _refuse_buttons_in_the_constructor()
    qt.QUiLoader = UiLoader
    sys.modules["qt"] = qt
    return qt
