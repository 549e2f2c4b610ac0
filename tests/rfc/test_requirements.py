"""Every MUST and SHLD of RFC 9293 is shown by a test, or does not apply for a reason given here.

A test says what it shows with `@pytest.mark.rfc("MUST-13", ...)`. The labels are read from the
sources, so that a run of a few tests finds the same as a run of all.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]

_URGENT: Final = (
    "urgent data is left out, as RFC 6093 advises every new program to do without it: the header "
    "on the wire has no urgent pointer, URG is sent as 0 and ignored"
)
_ROUTE: Final = (
    "source routes are options of IP, and a UDP socket's; hosts and routers drop them today "
    "(RFC 7126 §4.3, §4.4), and IPv6 has deprecated them (RFC 5095)"
)

NOT_APPLICABLE: Final = {
    "MUST-2": "the checksum is UDP's; the kernel computes it, and utcp has no call to turn it off",
    "MUST-3": "the checksum is UDP's; the kernel drops what fails it before utcp sees it",
    "MUST-30": _URGENT,
    "MUST-31": _URGENT,
    "MUST-32": _URGENT,
    "MUST-33": _URGENT,
    "MUST-62": _URGENT,
    "SHLD-13": "a duty of the application, and there is no urgent data to use",
    "MUST-50": "the kernel strips IP options; a UDP socket hands over none that was not asked for",
    "MUST-51": _ROUTE,
    "MUST-52": _ROUTE,
    "MUST-53": _ROUTE,
    "SHLD-24": _ROUTE,
    "MUST-55": "the kernel drops source quench (RFC 6633 §5): no UDP socket is told of it",
    "MUST-63": "IP may do it in TCP's place, and the kernel does: a datagram whose source is a "
    "broadcast or multicast address is dropped when it is routed in",
    "SHLD-23": "a duty of the application; utcp changes the field only when it is told to",
}


def test_every_requirement_is_shown_or_does_not_apply() -> None:
    missing = sorted(requirements().keys() - claims().keys() - NOT_APPLICABLE.keys(), key=_number)
    lines = [f"{label}: {requirements()[label]}" for label in missing]
    assert not missing, "no test shows\n" + "\n".join(lines)


def test_what_does_not_apply_is_not_claimed() -> None:
    both = {label: claims()[label] for label in NOT_APPLICABLE.keys() & claims().keys()}
    assert not both


def test_labels_exist() -> None:
    unknown = {
        label: places
        for label, places in claims().items()
        if label not in requirements() and not label.startswith("MAY-")
    }
    assert not unknown
    assert NOT_APPLICABLE.keys() <= requirements().keys()


def test_the_list_is_the_one_of_the_rfc() -> None:
    labels = [f"MUST-{n}" for n in range(1, 70)] + [f"SHLD-{n}" for n in range(1, 32)]
    assert list(requirements()) == labels


def requirements() -> dict[str, str]:
    """What RFC 9293 asks for: label -> summary."""
    text = (TESTS / "rfc" / "requirements.txt").read_text()
    lines = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {label: summary.strip() for label, _, summary in lines}


def claims() -> dict[str, list[str]]:
    """What the tests say they show: label -> places."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rfc":
                place = f"{path.relative_to(TESTS)}:{node.lineno}"
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{place}: not a plain string"
                    found.setdefault(str(argument.value), []).append(place)
    return found


def _number(label: str) -> tuple[str, int]:
    kind, _, number = label.partition("-")
    return kind, int(number)
