"""Bytes received in order that the application has not read yet.

What arrives is a view into the buffer of the UDP socket, and that buffer is used again. Most of
it is read before that happens, so it is kept as views ("borrowed") and copied once, by the read.
`settle` copies what then still is borrowed.

Memory: `size` bytes of payload and less than 100 bytes per piece. What `settle` leaves has more
than `MERGE` bytes in any two neighbouring pieces that it made, so that an application that does
not read cannot be made to keep one object per byte.
"""

from __future__ import annotations

from typing import Final

MERGE: Final = 2048
"""Settled pieces below this size are joined with what is settled after them."""
SMALL: Final = 512
"""Pieces below this size are settled also if they are not borrowed."""
LARGE: Final = 4096
"""Pieces as large as this, on average, are copied one by one."""
UNSETTLED: Final = 4096
"""Pieces after which the buffer settles by itself, for callers that need not call `settle`."""


class RecvBuffer:
    """A queue of bytes: put in by segments, taken out by the application."""

    __slots__ = ("_borrowed", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes that can be read."""
        self._pieces: list[bytes | memoryview] = []
        # Pieces, counted from the end, among which some are borrowed or small.
        self._borrowed = 0

    def append(self, data: bytes | memoryview, borrowed: bool) -> None:
        """Add one piece. `borrowed`: its memory will change after the next `settle`."""
        size = len(data)
        if size:
            self._pieces.append(data)
            self.size += size
            # A peer that swaps each two bytes shall not make us keep an object for each pair.
            if borrowed or self._borrowed or size < SMALL:
                self._borrowed += 1
                if self._borrowed >= UNSETTLED:
                    self.settle()

    def extend(self, pieces: list[bytes | memoryview], nbytes: int, borrowed: bool) -> None:
        """Add the pieces of a whole run, `nbytes` in all, none of them empty."""
        self._pieces.extend(pieces)
        self.size += nbytes
        if borrowed or self._borrowed:
            self._borrowed += len(pieces)
            if self._borrowed >= UNSETTLED:
                self.settle()

    def read(self, limit: int = -1) -> bytes:
        """Take out up to `limit` bytes, all if it is negative; b"" if there are none."""
        if 0 <= limit < self.size:
            return self._read_part(limit)
        pieces = self._pieces
        self.size = 0
        self._borrowed = 0
        if len(pieces) == 1:
            piece = pieces.pop()
            return piece if type(piece) is bytes else bytes(piece)
        data = b"".join(pieces)
        pieces.clear()
        return data

    def read_into(self, buffer: bytearray | memoryview) -> int:
        """Move bytes into `buffer`, as many as fit, and return how many.

        Raises TypeError if the buffer cannot be written to.
        """
        target = memoryview(buffer)
        if target.readonly:
            raise TypeError("buffer is read-only")
        if target.format != "B" or target.ndim != 1:
            target = target.cast("B")
        room = min(len(target), self.size)
        if self.size >= len(self._pieces) * LARGE:
            self._move(target[:room])
        elif room:
            # Two copies, yet half of the time that one slice assignment per segment takes.
            target[:room] = self.read(room)
        return room

    def settle(self) -> bool:
        """Copy what is borrowed, so that the memory it lies in may be used again. Returns whether
        there was anything."""
        count = self._borrowed
        if not count:
            return False
        self._borrowed = 0
        pieces = self._pieces
        owned = len(pieces) - count
        while owned and len(pieces[owned - 1]) < MERGE:
            owned -= 1
        if not owned:
            data = b"".join(pieces)
            pieces.clear()
        else:
            data = b"".join(pieces[owned:])
            del pieces[owned:]
        pieces.append(data)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self.size = 0
        self._borrowed = 0

    def _move(self, target: memoryview) -> None:
        """Take out as many bytes as `target` has, which are not more than there are."""
        pieces = self._pieces
        room = len(target)
        end = count = 0
        for piece in pieces:
            start = end
            if start == room:
                break
            end += len(piece)
            if end > room:
                view = memoryview(piece)
                target[start:] = view[: room - start]
                pieces[count] = view[room - start :]
                break
            target[start:end] = piece
            count += 1
        del pieces[:count]
        self.size -= room
        self._borrowed = min(self._borrowed, len(pieces))

    def _read_part(self, limit: int) -> bytes:
        """Take out `limit` bytes, which are fewer than there are."""
        pieces = self._pieces
        left = limit
        count = 0
        while left and left >= len(pieces[count]):
            left -= len(pieces[count])
            count += 1
        taken = pieces[:count]
        if left:
            view = memoryview(pieces[count])
            taken.append(view[:left])
            pieces[count] = view[left:]
        del pieces[:count]
        self.size -= limit
        self._borrowed = min(self._borrowed, len(pieces))
        if len(taken) == 1 and type(taken[0]) is bytes:
            return taken[0]
        return b"".join(taken)
