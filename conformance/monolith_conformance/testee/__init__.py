"""Programs under test: the protocol's encodings and the pipe to a program in any language."""
