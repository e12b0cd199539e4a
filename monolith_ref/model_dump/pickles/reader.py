"""An interpreter of pickles that builds inert values: no import, no call, limits on everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.literals import parse_literal
from monolith_ref.model_dump.pickles.opcodes import Operation, operations

__all__ = ["Inert", "Unpickled", "is_optimizer", "is_parameter_class", "read_pickle"]

SIZE_LIMIT = 256 << 20
STACK_LIMIT = 1_000_000
MEMO_LIMIT = 1_000_000
DEPTH_LIMIT = 100
EXPANSION_LIMIT = 5_000_000
"""How many values a decoded pickle may have when everything shared is counted each time."""

PARAMETER_CLASSES = frozenset(
    {
        "monolith.core.hyperparams.InstantiableParams",
        "monolith.core.hyperparams.Params",
        "monolith.core.hyperparams._Param",
        "monolith.native_training.model_export.export_context.ExportMode",
    }
)


def is_parameter_class(module: str, name: str) -> bool:
    """Whether a class may occur in params."""
    return "." not in name and f"{module}.{name}" in PARAMETER_CLASSES


def is_optimizer(module: str, name: str) -> bool:
    """Whether a class may occur in an optimizer: an ``...Optimizer`` of TensorFlow or Keras, or a parameter class."""
    known = module.startswith(("tensorflow.", "keras.")) and name.isidentifier() and name.endswith("Optimizer")
    return known or is_parameter_class(module, name)


@dataclass(eq=False)
class Inert:
    """What stands for an object: its class by name, its arguments, its state. Nothing of the class is loaded."""

    class_name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None


@dataclass(frozen=True)
class _Global:
    """A class that the pickle named."""

    class_name: str


@dataclass(frozen=True)
class Unpickled:
    """The value of a pickle and the names that it refers to, sorted."""

    value: Any
    globals: tuple[str, ...]


class _Mark:
    """The object that MARK puts on the stack."""


_MARK = _Mark()


def read_pickle(data: bytes, allowed: Callable[[str, str], bool] = is_parameter_class) -> Unpickled:
    """Decode a pickle to None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset and :class:`Inert`.

    Parameters
    ----------
    allowed : callable
        ``(module, name) -> bool``: which classes may be named.

    Raises
    ------
    DumpError
        ``forbidden_global`` for any other name, ``malformed_pickle`` for everything else (persistent ids, extensions
        and buffers among it), with the offset in ``data``.
    """
    if len(data) > SIZE_LIMIT:
        raise DumpError(f"a pickle of {len(data)} bytes (at most {SIZE_LIMIT})", kind="malformed_pickle")
    machine = _Machine(allowed)
    for operation, _ in operations(data):
        try:
            machine.step(operation)
        except DumpError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, AssertionError) as error:
            raise _fail(operation, f"{operation.name} does not fit here ({error})") from None
    if len(machine.stack) != 1 or machine.stack[0] is _MARK:
        raise DumpError(f"STOP with {len(machine.stack)} values", kind="malformed_pickle", offset=len(data))
    value = machine.stack[0]
    _check_extent(value)
    return Unpickled(value, tuple(sorted(machine.globals)))


def _fail(operation: Operation, reason: str) -> DumpError:
    return DumpError(reason, kind="malformed_pickle", offset=operation.offset)


def _check_extent(value: Any) -> None:
    """Refuse values that contain themselves, are too deep, or too large once shared parts are counted each time."""
    sizes: dict[int, int] = {}
    waiting: list[tuple[Any, bool]] = [(value, False)]
    open_values: set[int] = set()
    while waiting:
        current, done = waiting.pop()
        parts = _parts(current)
        if parts is None or (not done and id(current) in sizes):
            continue
        if done:
            open_values.discard(id(current))
            sizes[id(current)] = 1 + sum(sizes.get(id(part), 1) for part in parts)
            if sizes[id(current)] > EXPANSION_LIMIT:
                raise DumpError(f"more than {EXPANSION_LIMIT} values", kind="malformed_pickle")
            continue
        if id(current) in open_values:
            raise DumpError("a value that contains itself", kind="malformed_pickle")
        open_values.add(id(current))
        if len(open_values) > DEPTH_LIMIT:
            raise DumpError(f"more than {DEPTH_LIMIT} levels", kind="malformed_pickle")
        waiting.append((current, True))
        waiting.extend((part, False) for part in parts)


def _parts(value: Any) -> list[Any] | None:
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, Inert):
        return [*value.args, *value.kwargs.values(), value.state]
    if isinstance(value, _Global | _Mark):
        raise DumpError("a class or mark where a value belongs", kind="malformed_pickle")
    return None


class _Machine:
    """Stack and memo; one method per group of instructions."""

    def __init__(self, allowed: Callable[[str, str], bool]) -> None:
        self.allowed = allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.globals: set[str] = set()

    def step(self, operation: Operation) -> None:
        action = _ACTIONS.get(operation.name)
        if action is None:
            raise _fail(operation, f"{operation.name} is not read")
        action(self, operation)
        if len(self.stack) > STACK_LIMIT or len(self.memo) > MEMO_LIMIT:
            raise _fail(operation, "too many values")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark")
        return value

    def since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        out = self.stack[place + 1 :]
        del self.stack[place:]
        return out

    def name(self, operation: Operation, module: Any, name: Any) -> _Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise _fail(operation, "a class name that is no text")
        if not self.allowed(module, name):
            raise DumpError(f"{module}.{name} is not allowed", kind="forbidden_global", offset=operation.offset)
        self.globals.add(f"{module}.{name}")
        return _Global(f"{module}.{name}")

    def make(self, cls: Any, args: Any, kwargs: Any = None) -> Inert:
        if not isinstance(cls, _Global) or not isinstance(args, tuple) or not isinstance(kwargs or {}, dict):
            raise ValueError("only an allowed class can be called, with a tuple")
        return Inert(cls.class_name, args, dict(kwargs or {}))

    def memoize(self, key: int) -> None:
        if self.stack[-1] is _MARK or key < 0:
            raise ValueError("nothing to remember")
        self.memo[key] = self.stack[-1]


Action = Callable[[_Machine, Operation], None]
_ACTIONS: dict[str, Action] = {}


def _action(*names: str) -> Callable[[Action], Action]:
    def register(function: Action) -> Action:
        for name in names:
            _ACTIONS[name] = function
        return function

    return register


@_action("PROTO", "FRAME")
def _header(machine: _Machine, operation: Operation) -> None:
    if operation.name == "PROTO" and operation.argument > 5:
        raise _fail(operation, f"protocol {operation.argument}")


@_action("STOP")
def _stop(machine: _Machine, operation: Operation) -> None:
    """The value stays on the stack."""


@_action("MARK")
def _mark(machine: _Machine, operation: Operation) -> None:
    machine.stack.append(_MARK)


@_action("POP")
def _pop(machine: _Machine, operation: Operation) -> None:
    machine.stack.pop()


@_action("POP_MARK")
def _pop_mark(machine: _Machine, operation: Operation) -> None:
    machine.since_mark()


@_action("DUP")
def _dup(machine: _Machine, operation: Operation) -> None:
    value = machine.pop()
    machine.stack += (value, value)


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@_action(*_CONSTANTS)
def _constant(machine: _Machine, operation: Operation) -> None:
    machine.stack.append(_CONSTANTS[operation.name])


_FRESH: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}


@_action(*_FRESH)
def _empty(machine: _Machine, operation: Operation) -> None:
    machine.stack.append(_FRESH[operation.name]())


@_action(
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINSTRING", "SHORT_BINSTRING"),
)
def _literal(machine: _Machine, operation: Operation) -> None:
    machine.stack.append(operation.argument)


@_action("INT", "LONG", "FLOAT", "STRING", "UNICODE")
def _text_literal(machine: _Machine, operation: Operation) -> None:
    text: str = operation.argument
    value: Any
    if operation.name == "INT" and text in ("00", "01"):
        value = text == "01"
    elif operation.name in ("INT", "LONG"):
        if len(text) > 2000:
            raise ValueError("a long number")
        value = int(text.rstrip("L"))
    elif operation.name == "FLOAT":
        value = float(text)
    elif operation.name == "STRING":
        value = parse_literal(text.strip())
        if not isinstance(value, str):
            raise ValueError("no string")
    else:
        value = text.encode("latin-1").decode("raw-unicode-escape")
    machine.stack.append(value)


@_action("TUPLE", "LIST", "FROZENSET", "DICT")
def _collect(machine: _Machine, operation: Operation) -> None:
    items = machine.since_mark()
    if operation.name == "TUPLE":
        machine.stack.append(tuple(items))
    elif operation.name == "LIST":
        machine.stack.append(items)
    elif operation.name == "FROZENSET":
        machine.stack.append(frozenset(map(_key, items)))
    else:
        machine.stack.append(_pairs({}, items))


@_action("TUPLE1", "TUPLE2", "TUPLE3")
def _short_tuple(machine: _Machine, operation: Operation) -> None:
    items = [machine.pop() for _ in range(int(operation.name[-1]))]
    machine.stack.append(tuple(reversed(items)))


@_action("APPEND", "APPENDS", "ADDITEMS")
def _append(machine: _Machine, operation: Operation) -> None:
    items = [machine.pop()] if operation.name == "APPEND" else machine.since_mark()
    target = machine.stack[-1]
    if operation.name == "ADDITEMS":
        if not isinstance(target, set):
            raise ValueError("no set")
        target.update(map(_key, items))
    else:
        if not isinstance(target, list):
            raise ValueError("no list")
        target.extend(items)


@_action("SETITEM", "SETITEMS")
def _set_items(machine: _Machine, operation: Operation) -> None:
    if operation.name == "SETITEM":
        value, key = machine.pop(), machine.pop()
        items = [key, value]
    else:
        items = machine.since_mark()
    if not isinstance(machine.stack[-1], dict):
        raise ValueError("no dict")
    _pairs(machine.stack[-1], items)


def _pairs(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("a key without a value")
    for place in range(0, len(items), 2):
        target[_key(items[place])] = items[place + 1]
    return target


def _key(value: Any, depth: int = 0) -> Any:
    """Only plain values are keys: hashing them calls nothing of ours."""
    if isinstance(value, tuple) and depth < 3 and len(value) < 100:
        for part in value:
            _key(part, depth + 1)
        return value
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    raise ValueError("a key that is no plain value")


@_action("GET", "BINGET", "LONG_BINGET")
def _get(machine: _Machine, operation: Operation) -> None:
    machine.stack.append(machine.memo[int(operation.argument)])


@_action("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
def _put(machine: _Machine, operation: Operation) -> None:
    machine.memoize(len(machine.memo) if operation.name == "MEMOIZE" else int(operation.argument))


@_action("GLOBAL", "STACK_GLOBAL")
def _global(machine: _Machine, operation: Operation) -> None:
    if operation.name == "GLOBAL":
        module, name = operation.argument.split("\n")
    else:
        name, module = machine.pop(), machine.pop()
    machine.stack.append(machine.name(operation, module, name))


@_action("REDUCE", "NEWOBJ", "NEWOBJ_EX")
def _new(machine: _Machine, operation: Operation) -> None:
    kwargs = machine.pop() if operation.name == "NEWOBJ_EX" else None
    args, cls = machine.pop(), machine.pop()
    machine.stack.append(machine.make(cls, args, kwargs))


@_action("INST", "OBJ")
def _old_new(machine: _Machine, operation: Operation) -> None:
    args = machine.since_mark()
    if operation.name == "INST":
        module, name = operation.argument.split("\n")
        cls: Any = machine.name(operation, module, name)
    else:
        cls = args.pop(0)
    machine.stack.append(machine.make(cls, tuple(args)))


@_action("BUILD")
def _build(machine: _Machine, operation: Operation) -> None:
    state = machine.pop()
    target = machine.stack[-1]
    if not isinstance(target, Inert):
        raise ValueError("a state for a plain value")
    target.state = state
