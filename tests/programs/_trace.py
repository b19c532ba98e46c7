# SPDX-License-Identifier: MIT
"""Traces as docs/traces.md has them, read and written once more, for the tests."""
import collections
import struct

HEADER = struct.Struct("<16sIIQQQQQ")
CHUNK = struct.Struct("<IIIIQQ")
MAGIC, CHUNK_MAGIC = b"molehill trace\n\0", 0x4B4E4843
ALLOC, FREE, REALLOC, CREATED, DESTROYED = range(1, 6)
MALLOC = 2
MASK = (1 << 64) - 1
Event = collections.namedtuple("Event", "number kind lane heap old block bytes")
Chunk = collections.namedtuple("Chunk", "at lane events first data")


def check(value, data):
    """The format's check of bytes behind others."""
    for at in range(0, len(data), 8):
        part = data[at:at + 8]
        word = len(data) - at
        for byte in part:
            word = (word << 8 & MASK) ^ byte
        value = (value ^ word) * 0x9E3779B97F4A7C15 & MASK
        value ^= value >> 29
    return value


def header(data):
    """events, lanes, lost; ValueError if it is no header of a whole trace."""
    magic, version, lanes, events, lost, size, _, checked = HEADER.unpack_from(data)
    if (magic, version, size) != (MAGIC, 1, len(data)) or checked != check(0, data[:56]):
        raise ValueError("no whole trace")
    return events, lanes, lost


def chunks(data):
    at = HEADER.size
    while at < len(data):
        magic, lane, size, events, first, checked = CHUNK.unpack_from(data, at)
        body = data[at + CHUNK.size:at + CHUNK.size + size]
        if magic != CHUNK_MAGIC or checked != check(check(0, data[at:at + 24]), body):
            raise ValueError(f"a bad chunk at {at}")
        yield Chunk(at, lane, events, first, body)
        at += CHUNK.size + size


def repaired(data):
    """The same with checks that are right, where chunks and header can still be made out."""
    data, at = bytearray(data), HEADER.size
    while at + CHUNK.size <= len(data):
        size = CHUNK.unpack_from(data, at)[2]
        value = check(check(0, data[at:at + 24]), data[at + CHUNK.size:at + CHUNK.size + size])
        data[at + 24:at + CHUNK.size] = struct.pack("<Q", value)
        at += CHUNK.size + size
    data[56:HEADER.size] = struct.pack("<Q", check(0, data[:56]))
    return bytes(data)


def decode(chunk):
    """The chunk's events."""
    at, last, heap, block = 0, chunk.first - 1, 0, 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = chunk.data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def take_block():
        nonlocal block
        step = take()
        block += -(step >> 1) if step & 1 else step >> 1
        return block << 4

    for _ in range(chunk.events):
        tag = chunk.data[at]
        at += 1
        kind = tag & 7
        last += take() + 16 if tag >> 4 == 15 else (tag >> 4) + 1
        if tag & 8:
            heap = take()
        old = take_block() if kind == REALLOC else 0
        now = take_block() if kind <= REALLOC else 0
        yield Event(last, kind, chunk.lane, heap, old, now,
                    take() if kind in (ALLOC, REALLOC) else 0)


def read(path):
    """All events in the order of their numbers, which are 0, 1, 2 and so on."""
    with open(path, "rb") as file:
        data = file.read()
    count, lanes, lost = header(data)
    events = sorted(event for chunk in chunks(data) for event in decode(chunk))
    if [event.number for event in events] != list(range(count)) or lost:
        raise ValueError("events are missing")
    if {event.lane for event in events} - set(range(lanes)):
        raise ValueError("a lane has no number")
    return events
