# SPDX-License-Identifier: MIT
"""A client of the redis protocol, as much of it as the tests need."""
import socket
import struct


class Refusal(str):
    """An answer that is an error: its text."""


def request(*words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out += [b"$%d\r\n" % len(word), word, b"\r\n"]
    return b"".join(out)


class Client:
    def __init__(self, port, seconds=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.stream = self.socket.makefile("rb")

    def send(self, *words):
        self.socket.sendall(request(*words))

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        """bytes, a number, None or a Refusal; EOFError when the server hung up."""
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.stream.read(length + 2)[:-2]
        if kind == b":":
            return int(rest)
        return Refusal(rest.decode()) if kind == b"-" else rest

    def call(self, *words):
        self.send(*words)
        return self.receive()

    def has_ended(self):
        """Whether the server hung up, after saying nothing more. Waits for it."""
        try:
            return self.stream.read(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.stream.close()
        self.socket.close()

    def reset(self):
        """Close so that the server's next read or write fails."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
        self.close()
