"""Initial sequence numbers and timestamp offsets."""

from __future__ import annotations

import pytest

from utcp.core.secrets import Secrets

US = 1_000
KEY = b"sixteen bytes...".ljust(16)
ADDR = ("192.0.2.1", 4321)


def test_too_little_entropy() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Secrets(bytes(15))


@pytest.mark.rfc("MUST-8", "SHLD-1")
def test_a_clock_of_four_microseconds_drives_the_initial_sequence_number() -> None:
    secrets = Secrets(KEY)
    first = secrets.numbers(0, ADDR)[0]
    assert secrets.numbers(4 * US - 1, ADDR)[0] == first
    assert secrets.numbers(4 * US, ADDR)[0] == (first + 1) & 0xFFFF_FFFF
    assert secrets.numbers(4_000_000 * US, ADDR)[0] == (first + 1_000_000) & 0xFFFF_FFFF
    # It goes round in 4.77 hours (RFC 9293 §3.4.1).
    assert secrets.numbers((1 << 32) * 4 * US, ADDR)[0] == first


@pytest.mark.rfc("MUST-9", "SHLD-1")
def test_every_address_and_every_key_has_its_own_numbers() -> None:
    addresses = [(f"192.0.2.{host}", port) for host in range(1, 20) for port in (1, 2, 3)]
    numbers = {Secrets(KEY).numbers(0, addr)[0] for addr in addresses}
    numbers |= {Secrets(KEY[::-1]).numbers(0, addr)[0] for addr in addresses}
    assert len(numbers) == 2 * len(addresses)
    assert all(0 <= number < 1 << 32 for number in numbers)
    # They are spread over all that is there.
    assert len({number >> 28 for number in numbers}) == 16


def test_a_run_can_be_repeated() -> None:
    assert Secrets(KEY).numbers(7, ADDR) == Secrets(KEY).numbers(7, ADDR)


def test_timestamp_offsets_have_their_own_hash() -> None:
    # RFC 7323 §5.4: whoever sees timestamps learns nothing about sequence numbers.
    iss, offset = Secrets(KEY).numbers(0, ADDR)
    assert offset != iss
    assert offset != Secrets(KEY).numbers(0, ("192.0.2.2", 4321))[1]
    assert offset == Secrets(KEY).numbers(4 * US, ADDR)[1]


def test_the_local_address_counts() -> None:
    assert Secrets(KEY, "here").numbers(0, ADDR) != Secrets(KEY, "there").numbers(0, ADDR)
