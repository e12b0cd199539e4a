from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Request(_message.Message):
    __slots__ = ("seq", "hello", "create", "drop", "op", "combine", "filter", "sync", "files", "dump", "stop")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    COMBINE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    DUMP_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    seq: int
    hello: Hello
    create: Create
    drop: Drop
    op: Op
    combine: Combine
    filter: Filter
    sync: Sync
    files: Files
    dump: Dump
    stop: Stop
    def __init__(self, seq: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping[str, object]]] = ..., create: _Optional[_Union[Create, _Mapping[str, object]]] = ..., drop: _Optional[_Union[Drop, _Mapping[str, object]]] = ..., op: _Optional[_Union[Op, _Mapping[str, object]]] = ..., combine: _Optional[_Union[Combine, _Mapping[str, object]]] = ..., filter: _Optional[_Union[Filter, _Mapping[str, object]]] = ..., sync: _Optional[_Union[Sync, _Mapping[str, object]]] = ..., files: _Optional[_Union[Files, _Mapping[str, object]]] = ..., dump: _Optional[_Union[Dump, _Mapping[str, object]]] = ..., stop: _Optional[_Union[Stop, _Mapping[str, object]]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("seq", "hello", "result", "unsupported", "error")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    seq: int
    hello: HelloReply
    result: Result
    unsupported: Unsupported
    error: Error
    def __init__(self, seq: _Optional[int] = ..., hello: _Optional[_Union[HelloReply, _Mapping[str, object]]] = ..., result: _Optional[_Union[Result, _Mapping[str, object]]] = ..., unsupported: _Optional[_Union[Unsupported, _Mapping[str, object]]] = ..., error: _Optional[_Union[Error, _Mapping[str, object]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "suite_version", "profile", "quirks")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SUITE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    QUIRKS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    suite_version: str
    profile: str
    quirks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol: _Optional[int] = ..., suite_version: _Optional[str] = ..., profile: _Optional[str] = ..., quirks: _Optional[_Iterable[str]] = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("protocol", "name", "version", "language", "capabilities", "max_batch")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    name: str
    version: str
    language: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    max_batch: int
    def __init__(self, protocol: _Optional[int] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., language: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., max_batch: _Optional[int] = ...) -> None: ...

class Unsupported(_message.Message):
    __slots__ = ("capability",)
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    capability: str
    def __init__(self, capability: _Optional[str] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("kind", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Create(_message.Message):
    __slots__ = ("table", "config", "filter")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    table: str
    config: bytes
    filter: str
    def __init__(self, table: _Optional[str] = ..., config: _Optional[bytes] = ..., filter: _Optional[str] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("table",)
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: str
    def __init__(self, table: _Optional[str] = ...) -> None: ...

class Op(_message.Message):
    __slots__ = ("table", "op", "ids", "floats", "rates", "time", "global_step", "dedup", "entries")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    DEDUP_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    table: str
    op: str
    ids: _containers.RepeatedScalarFieldContainer[int]
    floats: bytes
    rates: bytes
    time: int
    global_step: int
    dedup: bool
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, table: _Optional[str] = ..., op: _Optional[str] = ..., ids: _Optional[_Iterable[int]] = ..., floats: _Optional[bytes] = ..., rates: _Optional[bytes] = ..., time: _Optional[int] = ..., global_step: _Optional[int] = ..., dedup: bool = ..., entries: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("flags", "floats", "ints", "entries", "blob")
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    INTS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    flags: _containers.RepeatedScalarFieldContainer[bool]
    floats: bytes
    ints: _containers.RepeatedScalarFieldContainer[int]
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    blob: bytes
    def __init__(self, flags: _Optional[_Iterable[bool]] = ..., floats: _Optional[bytes] = ..., ints: _Optional[_Iterable[int]] = ..., entries: _Optional[_Iterable[bytes]] = ..., blob: _Optional[bytes] = ...) -> None: ...

class Combine(_message.Message):
    __slots__ = ("kind", "row_splits", "dim", "floats", "upstream", "n")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROW_SPLITS_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    kind: str
    row_splits: _containers.RepeatedScalarFieldContainer[int]
    dim: int
    floats: bytes
    upstream: bytes
    n: int
    def __init__(self, kind: _Optional[str] = ..., row_splits: _Optional[_Iterable[int]] = ..., dim: _Optional[int] = ..., floats: _Optional[bytes] = ..., upstream: _Optional[bytes] = ..., n: _Optional[int] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("kind", "capacity", "split_num", "ops")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    SPLIT_NUM_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    capacity: int
    split_num: int
    ops: _containers.RepeatedCompositeFieldContainer[FilterOp]
    def __init__(self, kind: _Optional[str] = ..., capacity: _Optional[int] = ..., split_num: _Optional[int] = ..., ops: _Optional[_Iterable[_Union[FilterOp, _Mapping[str, object]]]] = ...) -> None: ...

class FilterOp(_message.Message):
    __slots__ = ("op", "id", "count", "threshold")
    OP_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    op: str
    id: int
    count: int
    threshold: int
    def __init__(self, op: _Optional[str] = ..., id: _Optional[int] = ..., count: _Optional[int] = ..., threshold: _Optional[int] = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("table", "reduction", "parts", "rates", "time", "global_step")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    table: str
    reduction: str
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    rates: bytes
    time: int
    global_step: int
    def __init__(self, table: _Optional[str] = ..., reduction: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping[str, object]]]] = ..., rates: _Optional[bytes] = ..., time: _Optional[int] = ..., global_step: _Optional[int] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("ids", "floats")
    IDS_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    floats: bytes
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., floats: _Optional[bytes] = ...) -> None: ...

class Files(_message.Message):
    __slots__ = ("op", "path", "table", "shards")
    OP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    op: str
    path: str
    table: str
    shards: int
    def __init__(self, op: _Optional[str] = ..., path: _Optional[str] = ..., table: _Optional[str] = ..., shards: _Optional[int] = ...) -> None: ...

class Dump(_message.Message):
    __slots__ = ("op", "file", "argument")
    OP_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_FIELD_NUMBER: _ClassVar[int]
    op: str
    file: bytes
    argument: str
    def __init__(self, op: _Optional[str] = ..., file: _Optional[bytes] = ..., argument: _Optional[str] = ...) -> None: ...
