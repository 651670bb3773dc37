"""slicer.parameterNodeWrapper: typed attributes over a vtkMRMLScriptedModuleNode, and widgets bound to them."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import slicer
from vtkmodules.vtkCommonCore import vtkCommand


class Choice:
    """The values that a parameter may have."""

    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices


class WithinRange:
    """The least and the largest value of a parameter."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


class Default:
    """The first value of a parameter."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Parameter:
    """One typed attribute; nodes are kept as references, everything else as text."""

    def __init__(self, name: str, annotation: Any, cls: type) -> None:
        self.name, self.rules = name, getattr(annotation, "__metadata__", ())
        self.kind = typing.get_args(annotation)[0] if self.rules else annotation
        self.is_node = issubclass(self.kind, slicer.vtkMRMLNode)
        first = None if self.is_node else list(self.kind)[0] if issubclass(self.kind, enum.Enum) else self.kind()
        chosen = [rule.value for rule in self.rules if isinstance(rule, Default)]
        self.default = getattr(cls, name, chosen[0] if chosen else first)

    def choices(self) -> list[Any]:
        return next((rule.choices for rule in self.rules if isinstance(rule, Choice)), [])

    def _check(self, value: Any) -> None:
        none = value is None and self.is_node
        if not none and not isinstance(value, (float, int) if self.kind is float else self.kind):
            msg = f"{self.name} must be {self.kind.__name__}, got {value!r}"
            raise TypeError(msg)
        if self.choices() and value not in self.choices():
            msg = f"{self.name} must be one of {self.choices()}, got {value!r}"
            raise ValueError(msg)
        for rule in self.rules:
            if isinstance(rule, WithinRange) and not rule.minimum <= value <= rule.maximum:
                msg = f"{self.name} must lie from {rule.minimum} to {rule.maximum}, got {value!r}"
                raise ValueError(msg)

    def is_in(self, node: Any) -> bool:
        return self.is_node or self.name in node.GetParameterNames()

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        node = wrapper.parameterNode
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def __set__(self, wrapper: Any, value: Any) -> None:
        self._check(value)
        if self.is_node:
            wrapper.parameterNode.SetNodeReferenceID(self.name, value.GetID() if value else None)
        else:
            text = value.name if isinstance(value, enum.Enum) else str(self.kind(value))
            wrapper.parameterNode.SetParameter(self.name, text)


class _Wrapper:
    """What the decorator adds to a class of annotations."""

    allParameters: dict[str, _Parameter]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, tuple[int, list[Callable[[], None]]]] = {}
        self._updating = False
        for name, parameter in self.allParameters.items():
            if not parameter.is_in(parameterNode):
                setattr(self, name, parameter.default)

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, before: Any) -> Any:
        return self.parameterNode.EndModify(before)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> Any:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: Any) -> Any:
        return self.parameterNode.RemoveObserver(tag)

    def getValue(self, name: str) -> Any:
        return getattr(self, name)

    def setValue(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def connectGui(self, gui: Any) -> int:
        """Bind the widgets that carry the property SlicerParameterName."""
        widgets = [widget for widget in vars(gui).values() if widget.property("SlicerParameterName")]
        return self.connectParametersToGui({widget.property("SlicerParameterName"): widget for widget in widgets})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            if name not in self.allParameters:
                msg = f"There is no parameter '{name}'"
                raise ValueError(msg)
        bindings = [_Binding(self, self.allParameters[name], widget) for name, widget in mapping.items()]
        tag = self.AddObserver(vtkCommand.ModifiedEvent, lambda *_: self._update(bindings))
        self._guis[tag] = (tag, [binding.release for binding in bindings])
        self._update(bindings)
        return int(tag)

    def _update(self, bindings: list[_Binding]) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for binding in bindings:
                binding.write()
        finally:
            self._updating = False

    def disconnectGui(self, tag: int) -> None:
        if tag in self._guis:
            observer, releases = self._guis.pop(tag)
            self.RemoveObserver(observer)
            for release in releases:
                release()


class _Binding:
    """One widget bound to one parameter."""

    # class of widget: signal, property; the first that fits counts
    TABLE = {
        "qMRMLNodeComboBox": ("currentNodeChanged(vtkMRMLNode*)", ""),
        "QComboBox": ("currentIndexChanged(int)", "currentText"),
        "QCheckBox": ("toggled(bool)", "checked"),
        "QPushButton": ("toggled(bool)", "checked"),
        "QToolButton": ("toggled(bool)", "checked"),
        "QSpinBox": ("valueChanged(int)", "value"),
        "QDoubleSpinBox": ("valueChanged(double)", "value"),
        "QSlider": ("valueChanged(int)", "value"),
        "QLineEdit": ("textChanged(QString)", "text"),
    }

    def __init__(self, wrapper: _Wrapper, parameter: _Parameter, widget: Any) -> None:
        self.wrapper, self.parameter, self.widget = wrapper, parameter, widget
        name = "qMRMLNodeComboBox" if hasattr(widget, "currentNode") else widget.className()
        if name not in self.TABLE:
            msg = f"No parameter can be bound to a {name}"
            raise TypeError(msg)
        self.signal, self.property = self.TABLE[name]
        if name == "QComboBox":
            widget.clear()
            widget.addItems([str(choice) for choice in parameter.choices()])
        widget.connect(self.signal, self.read)

    def read(self, *_: Any) -> None:
        if not self.wrapper._updating:
            value = getattr(self.widget, self.property) if self.property else self.widget.currentNode()
            setattr(self.wrapper, self.parameter.name, value)

    def write(self) -> None:
        value = getattr(self.wrapper, self.parameter.name)
        if not self.property:
            self.widget.setCurrentNode(value)
        elif getattr(self.widget, self.property) != value:
            setattr(self.widget, self.property, value)

    def release(self) -> None:
        self.widget.disconnect(self.signal, self.read)


def parameterNodeWrapper(cls: type) -> type:
    """Turn a class of annotated attributes into a wrapper of a parameter node."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _Parameter(name, hint, cls) for name, hint in hints.items()}
    return type(cls.__name__, (_Wrapper,), {**parameters, "allParameters": parameters, "__doc__": cls.__doc__})
