"""Arguments of recorded functions: bound to the signature, completed, and put into a message. Rule: model_dump 7.3."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.literals import write_literal

__all__ = [
    "bind",
    "features_text",
    "fill_field",
    "names_of_columns",
    "recorded_arguments",
    "unrecorded",
    "update_kwargs_with_default",
]


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
    """Arguments as the function will get them: defaults filled in, an explicit None replaced by the default.

    Raises
    ------
    DumpError
        ``bad_call`` where they do not fit the signature.
    """
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__name__", "the recorded function")
        raise DumpError(f"{name}: {error}", kind="bad_call") from None
    bound.apply_defaults()
    for name, parameter in signature.parameters.items():
        if bound.arguments.get(name) is None and parameter.default is not parameter.empty:
            bound.arguments[name] = parameter.default
    return bound


def update_kwargs_with_default(function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Each keyword given as None becomes the parameter's default, in place."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name in kwargs and kwargs[name] is None and parameter.default is not parameter.empty:
            kwargs[name] = parameter.default


def recorded_arguments(bound: inspect.BoundArguments) -> dict[str, tuple[Any, Any]]:
    """``name -> (value, default)`` of all arguments but ``self``; a ``**keywords`` parameter is spread out."""
    out: dict[str, tuple[Any, Any]] = {}
    for name, parameter in bound.signature.parameters.items():
        if name == "self" or parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            out.update({key: (value, None) for key, value in bound.arguments.get(name, {}).items()})
        else:
            out[name] = (bound.arguments.get(name), parameter.default)
    return out


def fill_field(message: Message, name: str, value: Any) -> None:
    """Set one field; a configuration object gives its message.

    Raises
    ------
    DumpError
        ``bad_value``.
    """
    field = message.DESCRIPTOR.fields_by_name[name]
    try:
        if field.message_type is not None:
            part = value.as_proto() if hasattr(value, "as_proto") else value
            # Through bytes: the message may come from another generated copy of the schema.
            getattr(message, name).ParseFromString(part.SerializeToString())
            getattr(message, name).SetInParent()
        elif field.cpp_type == field.CPPTYPE_STRING and not isinstance(value, str):
            raise TypeError(f"a {type(value).__name__} where a text belongs")
        else:
            setattr(message, name, value)
    except (TypeError, ValueError, AttributeError) as error:
        text = f"{message.DESCRIPTOR.name}.{name}: {value!r} does not fit ({error})"
        raise DumpError(text, kind="bad_value") from None


def unrecorded(message: Message, given: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Arguments that differ from their defaults and have no field in the message."""
    fields = message.DESCRIPTOR.fields_by_name
    return [name for name, (value, default) in given.items() if name not in fields and not _same(value, default)]


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    return type(value) is type(default) and isinstance(value, bool | int | float | str) and value == default


def names_of_columns(value: Any) -> Any:
    """``features`` of a slice with feature columns replaced by their names, at any depth."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, list):
        return [names_of_columns(item) for item in value]
    if isinstance(value, tuple):
        return tuple(names_of_columns(item) for item in value)
    if isinstance(value, Mapping):
        return {names_of_columns(key): names_of_columns(item) for key, item in value.items()}
    for attribute in ("feature_name", "name"):
        name = getattr(value, attribute, None)
        if isinstance(name, str):
            return name
    raise DumpError(f"features: a {type(value).__name__} has no name", kind="bad_value")


def features_text(value: Any) -> str:
    """The text of a slice's ``features``."""
    return write_literal(names_of_columns(value))
