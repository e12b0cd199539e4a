from monolith_protos import compressor_pb2 as _compressor_pb2
from monolith_protos import initializer_pb2 as _initializer_pb2
from monolith_protos import optimizer_pb2 as _optimizer_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Combiner(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ReduceSum: _ClassVar[Combiner]
    ReduceMean: _ClassVar[Combiner]
    FirstN: _ClassVar[Combiner]
ReduceSum: Combiner
ReduceMean: Combiner
FirstN: Combiner

class FeatureColumn(_message.Message):
    __slots__ = ("feature_name", "occurrence_threshold", "expire_time", "max_seq_length", "shared_name", "combiner")
    FEATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_SEQ_LENGTH_FIELD_NUMBER: _ClassVar[int]
    SHARED_NAME_FIELD_NUMBER: _ClassVar[int]
    COMBINER_FIELD_NUMBER: _ClassVar[int]
    feature_name: str
    occurrence_threshold: int
    expire_time: int
    max_seq_length: int
    shared_name: str
    combiner: str
    def __init__(self, feature_name: _Optional[str] = ..., occurrence_threshold: _Optional[int] = ..., expire_time: _Optional[int] = ..., max_seq_length: _Optional[int] = ..., shared_name: _Optional[str] = ..., combiner: _Optional[str] = ...) -> None: ...

class LookupEmbeddingSlice(_message.Message):
    __slots__ = ("features", "slice_name", "slice_dim", "initializer", "optimizer", "compressor", "output_tensor_names", "group_out_type", "out_type")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SLICE_NAME_FIELD_NUMBER: _ClassVar[int]
    SLICE_DIM_FIELD_NUMBER: _ClassVar[int]
    INITIALIZER_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    COMPRESSOR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TENSOR_NAMES_FIELD_NUMBER: _ClassVar[int]
    GROUP_OUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    features: str
    slice_name: str
    slice_dim: int
    initializer: _initializer_pb2.InitializerConfig
    optimizer: _optimizer_pb2.OptimizerConfig
    compressor: _compressor_pb2.FloatCompressorConfig
    output_tensor_names: _containers.RepeatedScalarFieldContainer[str]
    group_out_type: str
    out_type: str
    def __init__(self, features: _Optional[str] = ..., slice_name: _Optional[str] = ..., slice_dim: _Optional[int] = ..., initializer: _Optional[_Union[_initializer_pb2.InitializerConfig, _Mapping[str, object]]] = ..., optimizer: _Optional[_Union[_optimizer_pb2.OptimizerConfig, _Mapping[str, object]]] = ..., compressor: _Optional[_Union[_compressor_pb2.FloatCompressorConfig, _Mapping[str, object]]] = ..., output_tensor_names: _Optional[_Iterable[str]] = ..., group_out_type: _Optional[str] = ..., out_type: _Optional[str] = ...) -> None: ...

class InputFn(_message.Message):
    __slots__ = ("label", "output_features", "parser_type", "item_pool")
    class OutputFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FEATURES_FIELD_NUMBER: _ClassVar[int]
    PARSER_TYPE_FIELD_NUMBER: _ClassVar[int]
    ITEM_POOL_FIELD_NUMBER: _ClassVar[int]
    label: str
    output_features: _containers.ScalarMap[str, str]
    parser_type: str
    item_pool: str
    def __init__(self, label: _Optional[str] = ..., output_features: _Optional[_Mapping[str, str]] = ..., parser_type: _Optional[str] = ..., item_pool: _Optional[str] = ...) -> None: ...

class ModelFn(_message.Message):
    __slots__ = ("label", "loss", "predict", "head_name", "non_ragged_features", "extra_losses", "summary", "classification")
    class NonRaggedFeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    PREDICT_FIELD_NUMBER: _ClassVar[int]
    HEAD_NAME_FIELD_NUMBER: _ClassVar[int]
    NON_RAGGED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    EXTRA_LOSSES_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    label: _containers.RepeatedScalarFieldContainer[str]
    loss: str
    predict: _containers.RepeatedScalarFieldContainer[str]
    head_name: _containers.RepeatedScalarFieldContainer[str]
    non_ragged_features: _containers.ScalarMap[str, str]
    extra_losses: _containers.RepeatedScalarFieldContainer[str]
    summary: _containers.RepeatedScalarFieldContainer[str]
    classification: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, label: _Optional[_Iterable[str]] = ..., loss: _Optional[str] = ..., predict: _Optional[_Iterable[str]] = ..., head_name: _Optional[_Iterable[str]] = ..., non_ragged_features: _Optional[_Mapping[str, str]] = ..., extra_losses: _Optional[_Iterable[str]] = ..., summary: _Optional[_Iterable[str]] = ..., classification: _Optional[_Iterable[bool]] = ...) -> None: ...

class ServingInputReceiverFn(_message.Message):
    __slots__ = ("features", "receiver_name", "parser_type")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ReceiverNameEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_NAME_FIELD_NUMBER: _ClassVar[int]
    PARSER_TYPE_FIELD_NUMBER: _ClassVar[int]
    features: _containers.ScalarMap[str, str]
    receiver_name: _containers.ScalarMap[str, str]
    parser_type: str
    def __init__(self, features: _Optional[_Mapping[str, str]] = ..., receiver_name: _Optional[_Mapping[str, str]] = ..., parser_type: _Optional[str] = ...) -> None: ...

class ExtraOutput(_message.Message):
    __slots__ = ("signature_name", "fetch_dict")
    class FetchDictEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SIGNATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    FETCH_DICT_FIELD_NUMBER: _ClassVar[int]
    signature_name: str
    fetch_dict: _containers.ScalarMap[str, str]
    def __init__(self, signature_name: _Optional[str] = ..., fetch_dict: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("name", "inputs", "outputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class OutputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    inputs: _containers.ScalarMap[str, str]
    outputs: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Mapping[str, str]] = ..., outputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ProtoModel(_message.Message):
    __slots__ = ("params", "features", "emb_slices", "input_fn", "model_fn", "serving_input_receiver_fn", "extra_output", "signature", "optimizer", "graph_def", "save_slice_info", "typed_params", "typed_optimizer")
    class SaveSliceInfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    EMB_SLICES_FIELD_NUMBER: _ClassVar[int]
    INPUT_FN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FN_FIELD_NUMBER: _ClassVar[int]
    SERVING_INPUT_RECEIVER_FN_FIELD_NUMBER: _ClassVar[int]
    EXTRA_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DEF_FIELD_NUMBER: _ClassVar[int]
    SAVE_SLICE_INFO_FIELD_NUMBER: _ClassVar[int]
    TYPED_PARAMS_FIELD_NUMBER: _ClassVar[int]
    TYPED_OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    params: bytes
    features: _containers.RepeatedCompositeFieldContainer[FeatureColumn]
    emb_slices: _containers.RepeatedCompositeFieldContainer[LookupEmbeddingSlice]
    input_fn: InputFn
    model_fn: ModelFn
    serving_input_receiver_fn: ServingInputReceiverFn
    extra_output: _containers.RepeatedCompositeFieldContainer[ExtraOutput]
    signature: _containers.RepeatedCompositeFieldContainer[Signature]
    optimizer: bytes
    graph_def: bytes
    save_slice_info: _containers.ScalarMap[str, bytes]
    typed_params: bytes
    typed_optimizer: bytes
    def __init__(self, params: _Optional[bytes] = ..., features: _Optional[_Iterable[_Union[FeatureColumn, _Mapping[str, object]]]] = ..., emb_slices: _Optional[_Iterable[_Union[LookupEmbeddingSlice, _Mapping[str, object]]]] = ..., input_fn: _Optional[_Union[InputFn, _Mapping[str, object]]] = ..., model_fn: _Optional[_Union[ModelFn, _Mapping[str, object]]] = ..., serving_input_receiver_fn: _Optional[_Union[ServingInputReceiverFn, _Mapping[str, object]]] = ..., extra_output: _Optional[_Iterable[_Union[ExtraOutput, _Mapping[str, object]]]] = ..., signature: _Optional[_Iterable[_Union[Signature, _Mapping[str, object]]]] = ..., optimizer: _Optional[bytes] = ..., graph_def: _Optional[bytes] = ..., save_slice_info: _Optional[_Mapping[str, bytes]] = ..., typed_params: _Optional[bytes] = ..., typed_optimizer: _Optional[bytes] = ...) -> None: ...

class HashTableConfig(_message.Message):
    __slots__ = ("name", "table_config", "extra_restore_names", "learning_rates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TABLE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    EXTRA_RESTORE_NAMES_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    table_config: bytes
    extra_restore_names: _containers.RepeatedScalarFieldContainer[str]
    learning_rates: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., table_config: _Optional[bytes] = ..., extra_restore_names: _Optional[_Iterable[str]] = ..., learning_rates: _Optional[_Iterable[float]] = ...) -> None: ...

class FeatureSliceDim(_message.Message):
    __slots__ = ("name", "dims")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    dims: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dims: _Optional[_Iterable[int]] = ...) -> None: ...

class FeatureCombiner(_message.Message):
    __slots__ = ("name", "combiner", "max_seq_length")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMBINER_FIELD_NUMBER: _ClassVar[int]
    MAX_SEQ_LENGTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    combiner: Combiner
    max_seq_length: int
    def __init__(self, name: _Optional[str] = ..., combiner: _Optional[_Union[Combiner, str]] = ..., max_seq_length: _Optional[int] = ...) -> None: ...

class ModelDump(_message.Message):
    __slots__ = ("model_dump", "run_config", "table_configs", "feature_slice_dims", "feature_combiners", "ps_sub_model_dump", "dense_sub_model_dump", "user_params")
    class ModelDumpEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ProtoModel
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProtoModel, _Mapping[str, object]]] = ...) -> None: ...
    class PsSubModelDumpEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ProtoModel
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProtoModel, _Mapping[str, object]]] = ...) -> None: ...
    class DenseSubModelDumpEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ProtoModel
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProtoModel, _Mapping[str, object]]] = ...) -> None: ...
    MODEL_DUMP_FIELD_NUMBER: _ClassVar[int]
    RUN_CONFIG_FIELD_NUMBER: _ClassVar[int]
    TABLE_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SLICE_DIMS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_COMBINERS_FIELD_NUMBER: _ClassVar[int]
    PS_SUB_MODEL_DUMP_FIELD_NUMBER: _ClassVar[int]
    DENSE_SUB_MODEL_DUMP_FIELD_NUMBER: _ClassVar[int]
    USER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    model_dump: _containers.MessageMap[str, ProtoModel]
    run_config: str
    table_configs: _containers.RepeatedCompositeFieldContainer[HashTableConfig]
    feature_slice_dims: _containers.RepeatedCompositeFieldContainer[FeatureSliceDim]
    feature_combiners: _containers.RepeatedCompositeFieldContainer[FeatureCombiner]
    ps_sub_model_dump: _containers.MessageMap[str, ProtoModel]
    dense_sub_model_dump: _containers.MessageMap[str, ProtoModel]
    user_params: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model_dump: _Optional[_Mapping[str, ProtoModel]] = ..., run_config: _Optional[str] = ..., table_configs: _Optional[_Iterable[_Union[HashTableConfig, _Mapping[str, object]]]] = ..., feature_slice_dims: _Optional[_Iterable[_Union[FeatureSliceDim, _Mapping[str, object]]]] = ..., feature_combiners: _Optional[_Iterable[_Union[FeatureCombiner, _Mapping[str, object]]]] = ..., ps_sub_model_dump: _Optional[_Mapping[str, ProtoModel]] = ..., dense_sub_model_dump: _Optional[_Mapping[str, ProtoModel]] = ..., user_params: _Optional[_Iterable[str]] = ...) -> None: ...
