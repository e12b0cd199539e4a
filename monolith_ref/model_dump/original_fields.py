"""How the original fills a record: field after field, stopping where a value does not fit. Rule: model_dump 7.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monolith_protos import model_dump_pb2

from monolith_ref.model_dump.notices import warn

__all__ = ["add_heads", "add_output", "try_set"]


def add_heads(
    message: model_dump_pb2.ModelFn, label: Any, loss: Any, pred: Any, head_name: Any, is_classification: Any
) -> None:
    if label is not None:
        labels = label.values() if isinstance(label, dict) else label if isinstance(label, list | tuple) else [label]
        message.label.extend("" if item is None else item.name for item in labels)
    if loss is not None:
        message.loss = loss.name
    if isinstance(pred, dict):
        for item in pred.values():
            message.predict.append(item.name)
    elif isinstance(pred, list | tuple):
        message.predict.extend(item.name for item in pred if item is not None)
    else:
        message.predict.append(pred.name)
    if head_name is not None:
        message.head_name.extend([head_name] if isinstance(head_name, str) else head_name)
    else:
        for item in (label, pred):
            if isinstance(item, dict):
                message.head_name.extend(item)
    if is_classification is not None:
        assert isinstance(is_classification, bool | list)
        flags = is_classification if isinstance(is_classification, list) else [is_classification]
        message.classification.extend(flags)


def add_output(message: model_dump_pb2.ExtraOutput, output: Any, last: Any) -> None:
    tensors = getattr(output, "outputs", output)
    if isinstance(tensors, Mapping):
        for key, tensor in tensors.items():
            message.fetch_dict[key] = tensor.name
    elif last is None:
        raise UnboundLocalError("local variable 'ts' referenced before assignment")
    else:
        # The defect: not the tensor that was given but the last one that was looked at.
        message.fetch_dict[last.name] = last.name


def try_set(message: Any, name: str, value: Any) -> None:
    """Set a field, or warn."""
    try:
        if name in ("initializer", "optimizer", "compressor"):
            part = value.as_proto()
            getattr(message, name).ParseFromString(part.SerializeToString())
            getattr(message, name).SetInParent()
        else:
            setattr(message, name, value)
    except (AttributeError, TypeError, ValueError) as error:
        warn("unrecorded_argument", f"{name} is not in proto, {error}", stacklevel=4)
