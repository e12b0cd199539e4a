"""Descriptors of messages, typed alike for every protobuf runtime: their stubs name classes that do not mix."""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor as Types

__all__ = ["Descriptor", "Field", "Types"]

Descriptor: TypeAlias = Any
Field: TypeAlias = Any
