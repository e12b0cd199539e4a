"""Wire schemas: .proto sources and the generated code beside them. Knows protobuf only."""
