"""A bounded reader of Thrift's compact protocol, in which Parquet footers are written.

pyarrow and DuckDB read it in native code, which ends the process for some damaged or encrypted
files (pyarrow 21: an encrypted column under a plain footer). So a footer is read here first.
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import struct
from typing import Any

Struct = dict[int, Any]  # field id → value: an int, a float, a bool, bytes, a list or a struct

DEEPEST = 32
MOST_VALUES = 4_000_000  # some 300 MB of memory, and some seconds
_STOP, _TRUE, _FALSE, _BYTE = 0, 1, 2, 3
_INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits
_DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 7, 8, 9, 10, 11, 12


def read_struct(data: bytes) -> Struct:
    """The struct at the beginning of ``data``; raises ``ValueError`` if there is none."""
    try:
        return _Reader(data).struct(0)
    except (IndexError, struct.error) as exc:
        raise ValueError("it ends too early") from exc


class _Reader:
    def __init__(self, data: bytes):
        self._data = data
        self._at = 0
        self._values = 0

    def struct(self, depth: int) -> Struct:
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        fields: Struct = {}
        last = 0
        while (head := self._byte()) != _STOP:
            delta, kind = head >> 4, head & 15
            last = last + delta if delta else self._zigzag()
            fields[last] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values")
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind in (_TRUE, _FALSE):  # an element of a list
            return self._byte() == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == _MAP:
            return self._map(depth + 1)
        raise ValueError(f"there is no type {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        # every element takes at least one byte, so a false count ends at the end of the data
        return [self._value(kind, depth) for _ in range(count)]

    def _map(self, depth: int) -> list[Any]:
        count = self._varint()
        if not count:
            return []
        kinds = self._byte()
        return [
            (self._value(kinds >> 4, depth), self._value(kinds & 15, depth)) for _ in range(count)
        ]

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        value = self._data[self._at : end]
        self._at = end
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        number = (value >> 1) ^ -(value & 1)
        if not -(2**63) <= number < 2**63:
            raise ValueError("a number is too large")
        return number
