"""Defences against floods and exhaustion, and how each is taken out."""

from __future__ import annotations

from typing import Final

from tests.attack.mutation.kind import Mutation

__all__ = ["FLOODS"]

FLOOD: Final = "tests/attack/test_syn_flood.py"
COOKIES: Final = "tests/attack/test_syn_cookies.py"
LIMITS: Final = "tests/attack/test_limits.py"
WAITING: Final = "tests/attack/test_time_wait.py"

ADMISSION: Final = "utcp/core/admission.py"
AGENDA: Final = "utcp/core/agenda.py"
ARRIVAL: Final = "utcp/core/arrival.py"
CORE_COOKIES: Final = "utcp/core/cookies.py"
ENDPOINT: Final = "utcp/core/endpoint.py"
LISTENER: Final = "utcp/core/listener.py"
MEMORY: Final = "utcp/core/memory.py"
RECEPTION: Final = "utcp/core/reception.py"
SECRETS: Final = "utcp/core/secrets.py"
TEXT: Final = "utcp/core/text.py"
TIMEOUTS: Final = "utcp/core/timeouts.py"

FLOODS: Final = (
    # -- SYN floods ----------------------------------------------------------------------------
    Mutation(
        "cookies when the backlog is full",
        LISTENER,
        "else self._when_full",
        "else REFUSE",
        (f"{FLOOD}::test_a_hundred_thousand_forged_syns",),
    ),
    Mutation(
        "the backlog bounds handshakes",
        RECEPTION,
        "if len(agenda.half_open) >= agenda.backlog:",
        "if False:",
        (f"{FLOOD}::test_without_cookies_a_client_comes_in_when_the_flood_lets_it",),
    ),
    Mutation(
        "no SYN-ACK again in a flood",
        TIMEOUTS,
        " and conn.agenda.crowded()",
        " and False",
        (f"{FLOOD}::test_in_a_flood_no_syn_ack_is_sent_again",),
    ),
    Mutation(
        "answers to nobody are bounded",
        AGENDA,
        "len(self.replies) < _MOST_REPLIES",
        "True",
        (f"{FLOOD}::test_what_waits_for_the_socket_is_bounded",),
    ),
    Mutation(
        "no MSS unless asked, remembered",
        "utcp/core/handshake.py",
        "if not conn.mss_ok:",
        "if False:",
        (f"{FLOOD}::test_no_syn_ack_is_larger_than_its_syn",),
    ),
    Mutation(
        "no MSS unless asked, cookie",
        CORE_COOKIES,
        "adv_mss if syn.mss >= 0 else -1",
        "adv_mss",
        (f"{FLOOD}::test_no_syn_ack_is_larger_than_its_syn",),
    ),
    Mutation(
        "a peer in TIME-WAIT gets no cookie",
        RECEPTION,
        "verdict == listener.COOKIE and old is None",
        "verdict == listener.COOKIE",
        (f"{FLOOD}::test_a_peer_in_time_wait_gets_no_cookie",),
    ),
    Mutation(
        "a peer in TIME-WAIT goes first",
        AGENDA,
        "not oldest.snd.retries and not at_any_rate",
        "not oldest.snd.retries",
        (f"{FLOOD}::test_a_peer_in_time_wait_goes_before_the_oldest_handshake",),
    ),
    # -- SYN cookies ---------------------------------------------------------------------------
    Mutation(
        "a cookie is for one address",
        SECRETS,
        "(addr, *numbers)",
        "numbers",
        (f"{COOKIES}::test_a_cookie_is_good_for_its_peer_and_its_syn_only",),
    ),
    Mutation(
        "a cookie is for one SYN",
        SECRETS,
        "addr, irs32, period, mss_index)\n",
        "addr, period, mss_index)\n",
        (f"{COOKIES}::test_a_cookie_is_good_for_its_peer_and_its_syn_only",),
    ),
    Mutation(
        "a cookie grows old",
        SECRETS,
        "addr, irs32, period, mss_index)\n",
        "addr, irs32, mss_index)\n",
        (f"{COOKIES}::test_a_cookie_lasts_for_a_period_and_the_next",),
    ),
    Mutation(
        "a cookie is good once",
        CORE_COOKIES,
        " or not self._spend(period, irs32 << 32 | cookie)",
        "",
        (f"{COOKIES}::test_a_cookie_opens_one_connection",),
    ),
    Mutation(
        "spent cookies are bounded",
        CORE_COOKIES,
        "if len(self._spent) < _MOST_SPENT:",
        "if True:",
        (f"{COOKIES}::test_what_is_known_of_cookies_that_came_back_is_bounded",),
    ),
    Mutation(
        "no cookie is ahead of the clock",
        CORE_COOKIES,
        "stamp if stamp <= clock else stamp - _STAMP - 1 & MASK32",
        "stamp",
        (
            f"{COOKIES}::test_the_clock_of_the_timestamps_goes_on",
            f"{COOKIES}::test_the_clock_of_the_timestamps_where_it_wraps",
        ),
    ),
    Mutation(
        "a cookie rounds the MSS down",
        CORE_COOKIES,
        "bisect_right(MSS, mss) - 1",
        "bisect_right(MSS, mss)",
        (f"{COOKIES}::test_the_mss_is_rounded_down",),
    ),
    Mutation(
        "no cookie is looked for while none is out",
        RECEPTION,
        " and self._cookies.recent(now)",
        "",
        (f"{COOKIES}::test_while_no_cookie_is_out_no_ack_is_taken_for_one",),
    ),
    Mutation(
        "no RST for data behind a lost cookie",
        RECEPTION,
        "if seg.end == seg.payload_at and not seg.flags & FIN:",
        "if True:",
        (f"{COOKIES}::test_the_segment_with_the_cookie_is_lost_and_more_follows",),
    ),
    # -- exhaustion ----------------------------------------------------------------------------
    Mutation(
        "limit of connections",
        ADMISSION,
        "if config.max_connections and self._total >= config.max_connections:",
        "if False:",
        (
            f"{LIMITS}::test_connections_in_total",
            f"{LIMITS}::test_a_handshake_that_is_one_too_many_is_reset",
        ),
    ),
    Mutation(
        "limit of connections from one host",
        ADMISSION,
        "if 0 < most <= self._total and self._hosts.get",
        "if False and self._hosts.get",
        (f"{LIMITS}::test_connections_from_one_host",),
    ),
    Mutation(
        "limit of orphans",
        ADMISSION,
        "if most and len(self.orphans) >= most:",
        "if False:",
        (f"{LIMITS}::test_an_orphan_too_many_is_reset",),
    ),
    Mutation(
        "limit of TIME-WAIT records",
        "utcp/core/timewait.py",
        "if most and len(records) > most:",
        "if False:",
        (f"{LIMITS}::test_time_wait_records_are_limited_and_the_oldest_goes",),
    ),
    Mutation(
        "nobody new under pressure",
        ADMISSION,
        "        if pressed:\n",
        "        if False:\n",
        (f"{LIMITS}::test_received_bytes_that_nobody_reads",),
    ),
    Mutation(
        "pressure shuts windows",
        MEMORY,
        "rcv.capacity = min(rcv.capacity, _SEGMENTS * rcv.rcv_mss)",
        "pass",
        (f"{LIMITS}::test_under_pressure_who_reads_goes_on_slowly",),
    ),
    Mutation(
        "pressure stops writers",
        MEMORY,
        "        conn.squeezed = True\n",
        "",
        (f"{LIMITS}::test_sent_bytes_that_nobody_acknowledges",),
    ),
    Mutation(
        "what is not read counts",
        ENDPOINT,
        "buffer.settle():",
        "buffer.settle() and False:",
        (f"{LIMITS}::test_a_connection_that_is_over_is_not_counted",),
    ),
    Mutation(
        "what is held out of order counts",
        TEXT,
        "        conn.acks.disturbed()\n        conn.agenda.memory.note(conn)\n",
        "        conn.acks.disturbed()\n",
        (f"{LIMITS}::test_bytes_held_out_of_order_count",),
    ),
    Mutation(
        "what is over counts no more",
        MEMORY,
        " or conn.state is CLOSED or conn.state is TIME_WAIT",
        "",
        (f"{LIMITS}::test_a_connection_that_is_over_is_not_counted",),
    ),
    # -- TIME-WAIT -----------------------------------------------------------------------------
    Mutation(
        "SYN with an old timestamp",
        "utcp/core/timewait.py",
        "return not self._older(seg)",
        "return True",
        (f"{WAITING}::test_a_syn_that_may_be_an_old_duplicate_opens_nothing",),
    ),
    Mutation(
        "back to TIME-WAIT",
        "utcp/core/timewait.py",
        "if before is not None and silent:",
        "if False:",
        (f"{WAITING}::test_what_was_reopened_by_a_forged_syn_goes_back",),
    ),
    Mutation(
        "limits when the handshake is complete",
        ARRIVAL,
        "    if agenda.admission.refusal(conn.addr, agenda.memory.pressed) != admission.NONE:\n",
        "    if False:\n",
        (f"{LIMITS}::test_a_handshake_that_is_one_too_many_is_reset",),
    ),
)
