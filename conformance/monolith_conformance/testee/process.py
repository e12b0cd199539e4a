"""A program under test at the other end of a pipe, and everything that can go wrong with it.

Death, silence, garbage, a wrong ``seq``, an answer that nobody asked for: each is a :class:`BackendFault` with its
kind and what the program wrote to standard error. The runner makes a result of it; nothing here waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from monolith_protos import testee_pb2

from monolith_conformance.backend import PROTOCOL, BackendFault
from monolith_conformance.testee.framing import ENCODINGS
from monolith_ref.errors import FormatError

__all__ = ["Program"]

STDERR_KEPT = 16_384
PIPE_PIECE = 4_096
READ_SIZE = 1 << 16
FLOOD = 1 << 20
"""Bytes of an unfinished reply that are no silence any more."""


class Program:
    """One running program; restarted by making another.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    encoding : str
        ``protobuf`` or ``json``.
    time_limit : float
        Seconds for one reply.
    """

    def __init__(self, command: Sequence[str], encoding: str = "protobuf", time_limit: float = 10.0) -> None:
        self.command = list(command)
        self.time_limit = time_limit
        self._encoding = ENCODINGS[encoding]
        self._buffer = bytearray()
        self._stderr = bytearray()
        self._seq = 0
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendFault("start", f"{self.command[0]!r} does not start: {error.strerror}") from None
        assert self._process.stdin
        assert self._process.stdout
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._readable = select.poll()
        self._readable.register(self._out, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._in, select.POLLOUT)
        assert self._process.stderr
        os.set_blocking(self._process.stderr.fileno(), False)
        # One for each thread that asks: a poll object serves one at a time.
        self._has_stderr, self._waits_for_stderr = select.poll(), select.poll()
        for asked in (self._has_stderr, self._waits_for_stderr):
            asked.register(self._process.stderr.fileno(), select.POLLIN)
        self._stderr_lock = threading.Lock()
        self._reader = threading.Thread(target=self._drain_stderr, daemon=True)
        self._reader.start()

    def hello(self, suite_version: str, profile: str, quirks: Sequence[str]) -> testee_pb2.HelloReply:
        """The first exchange: who are you, what can you do."""
        request = testee_pb2.Request()
        request.hello.protocol = PROTOCOL
        request.hello.suite_version = suite_version
        request.hello.profile = profile
        request.hello.quirks.extend(quirks)
        reply = self.exchange(request)
        if reply.WhichOneof("kind") != "hello":
            raise self._failure("no_hello", f"hello was answered by {reply.WhichOneof('kind') or 'nothing'}")
        if reply.hello.protocol != PROTOCOL:
            raise self._failure("no_hello", f"protocol {reply.hello.protocol}; this suite speaks {PROTOCOL}")
        return reply.hello

    def exchange(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        """Send one request and return its reply; ``seq`` is set here. Raises :class:`BackendFault`."""
        self._refuse_unasked()
        self._seq += 1
        request.seq = self._seq
        deadline = time.monotonic() + self.time_limit
        self._send(memoryview(self._encoding.write(request)), deadline)
        reply = self._receive(deadline)
        if 0 < reply.seq < self._seq:
            raise self._failure("unasked", f"seq {reply.seq} is answered a second time, seq {self._seq} was asked")
        if reply.seq != self._seq:
            raise self._failure("wrong_seq", f"seq {reply.seq} answers seq {self._seq}")
        return reply

    def close(self) -> None:
        """Ask the program to stop, then make sure that it has; its whole process group goes."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError, BackendFault):
                stop = testee_pb2.Request(seq=self._seq + 1)
                stop.stop.SetInParent()
                self._send(memoryview(self._encoding.write(stop)), time.monotonic() + 0.2)
            assert self._process.stdin
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, data: memoryview, deadline: float) -> None:
        while data:
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                # The program does not read: it may be stuck writing replies that nobody asked for.
                if not self._wait(deadline, writing=True):
                    raise self._failure("silent", f"it read no request for {self.time_limit:g} s") from None
            except BrokenPipeError:
                raise self._died() from None

    def _receive(self, deadline: float) -> testee_pb2.Reply:
        while True:
            try:
                data = self._encoding.take(self._buffer)
                if data is not None:
                    return self._encoding.parse(data)
            except FormatError as error:
                raise self._failure("garbage", str(error)) from None
            if time.monotonic() >= deadline or not self._wait(deadline):
                raise self._unfinished()
            if not self._read():
                raise self._died()

    def _wait(self, deadline: float, writing: bool = False) -> bool:
        """Wait until the program has written (or, ``writing``, can be written to); False at the deadline."""
        left = max(0.0, deadline - time.monotonic())
        return bool((self._writable if writing else self._readable).poll(left * 1000))

    def _read(self) -> bool:
        """Read what is there; False at the end of the stream."""
        try:
            data = os.read(self._out, READ_SIZE)
        except BlockingIOError:
            return True
        self._buffer += data
        return bool(data)

    def _refuse_unasked(self) -> None:
        """Between requests the program has nothing to say."""
        if not self._buffer and self._readable.poll(0):
            self._read()
        if self._buffer:
            shown = bytes(self._buffer[:32])
            raise self._failure("unasked", f"it wrote without a request: {shown!r}")

    def _unfinished(self) -> BackendFault:
        if len(self._buffer) > FLOOD:
            return self._failure(
                "flood", f"{len(self._buffer)} bytes within {self.time_limit:g} s, and no reply in them"
            )
        return self._failure("silent", f"no reply within {self.time_limit:g} s")

    def _died(self) -> BackendFault:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        if code is None:
            return self._failure("died", "it closed its standard output")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return self._failure("died", f"it ended with {how}")

    def _failure(self, kind: str, message: str) -> BackendFault:
        if kind == "died":
            self._reader.join(1.0)
        # What it wrote before is in the pipe already, whether or not the reader has come to it.
        for _ in range(STDERR_KEPT // PIPE_PIECE + 1):
            if not self._has_stderr.poll(0) or not self._take_stderr():
                break
        return BackendFault(kind, message, self._stderr.decode(errors="replace"))

    def _drain_stderr(self) -> None:
        """Keep the end of standard error; reading on keeps a chatty program from blocking."""
        while True:
            self._waits_for_stderr.poll()
            if not self._take_stderr():
                return

    def _take_stderr(self) -> bool:
        """Read what is there; False at the end of the stream."""
        assert self._process.stderr
        with self._stderr_lock:
            try:
                data = os.read(self._process.stderr.fileno(), READ_SIZE)
            except BlockingIOError:
                return True
            except (OSError, ValueError):
                return False
            self._stderr += data
            del self._stderr[:-STDERR_KEPT]
            return bool(data)
