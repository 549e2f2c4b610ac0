"""What is taken out, and what then must fail."""

from __future__ import annotations

from typing import Final

from tests.attack.mutation.floods import FLOODS
from tests.attack.mutation.kind import Mutation

__all__ = ["FAST", "MUTATIONS", "Mutation"]


BLIND: Final = "tests/attack/test_blind.py"
ICMP: Final = "tests/attack/test_icmp.py"
CHALLENGE: Final = "tests/attack/test_challenge_acks.py"
LYING: Final = "tests/attack/test_lying_acks.py"
SACKS: Final = "tests/attack/test_sack_lies.py"
WINDOWS: Final = "tests/attack/test_windows.py"
REWRITES: Final = "tests/attack/test_rewrites.py"
HOLES: Final = "tests/attack/test_holes.py"

ARRIVAL: Final = "utcp/core/arrival.py"
RECEIVER: Final = "utcp/core/receiver.py"

MUTATIONS: Final = (
    # -- blind attackers -----------------------------------------------------------------------
    Mutation(
        "reset on exact match only",
        ARRIVAL,
        "    if seq != conn.rcv.rcv_nxt:\n        teardown.challenge_ack(conn, now)\n    elif",
        "    if",
        (f"{BLIND}::test_no_guess_but_the_exact_one_ends_a_connection",),
    ),
    Mutation(
        "reset while connecting needs an ACK",
        "utcp/core/handshake.py",
        "        if acked:\n            teardown.finish",
        "        if True:\n            teardown.finish",
        (f"{BLIND}::test_a_reset_while_connecting_must_acknowledge_the_syn",),
    ),
    Mutation(
        "SYN is challenged",
        ARRIVAL,
        "    if conn.state is SYN_RECEIVED and conn.passive:\n        teardown.finish",
        "    if True:\n        teardown.finish",
        (f"{BLIND}::test_no_guess_but_the_exact_one_ends_a_connection",),
    ),
    Mutation(
        "ACK above SND.NXT",
        ARRIVAL,
        "    if ack > snd.snd_nxt or ack < snd.snd_una",
        "    if ack < snd.snd_una",
        (
            f"{BLIND}::test_data_without_an_acceptable_acknowledgment_is_not_taken",
            f"{LYING}::test_an_ack_of_what_was_not_sent_is_dropped_with_all_it_carries",
        ),
    ),
    Mutation(
        "ACK far below SND.UNA",
        ARRIVAL,
        " or ack < snd.snd_una - snd.max_snd_wnd or ack <= snd.iss",
        " or ack <= snd.iss - (1 << 31)",
        (f"{BLIND}::test_data_without_an_acceptable_acknowledgment_is_not_taken",),
    ),
    Mutation(
        "ghost ACK",
        ARRIVAL,
        " or ack <= snd.iss:",
        ":",
        (f"{BLIND}::test_an_acknowledgment_from_before_the_first_byte_is_a_ghost",),
    ),
    Mutation(
        "challenge limit",
        "utcp/core/teardown.py",
        "    if now - conn.challenged_at < conn.agenda.terms.challenge_interval_ns:\n",
        "    if False:\n",
        (
            f"{BLIND}::test_challenges_are_as_few_in_a_minute_as_their_limit_says",
            f"{CHALLENGE}::test_an_ack_war_ends",
            f"{CHALLENGE}::test_keepalive_probes_without_end_are_answered_at_a_bounded_rate",
        ),
    ),
    Mutation(
        "answers to bare segments outside the window are limited",
        ARRIVAL,
        "    if seg.length() and not seg.flags & SYN:\n",
        "    if True:\n",
        (f"{CHALLENGE}::test_keepalive_probes_without_end_are_answered_at_a_bounded_rate",),
    ),
    Mutation(
        "timestamps in every segment",
        ARRIVAL,
        "        if not seg.has_timestamps:\n",
        "        if False:\n",
        (f"{BLIND}::test_data_without_a_timestamp_is_dropped_in_silence",),
    ),
    Mutation(
        "PAWS",
        ARRIVAL,
        "        if rcv.paws_reject(seg.ts_val, now):\n",
        "        if False:\n",
        (f"{BLIND}::test_old_timestamps_are_dropped_and_forgotten",),
    ),
    Mutation(
        "TS.Recent is not poisoned",
        RECEIVER,
        "        if seq <= self.last_ack_sent and not (\n",
        "        if not (\n",
        (f"{BLIND}::test_a_forged_timestamp_from_the_future_does_not_stay",),
    ),
    Mutation(
        "forged SYN, then the real SYN,ACK",
        ARRIVAL,
        "        if acked and conn.state is SYN_RECEIVED and not conn.passive:\n",
        "        if False:\n",
        (f"{BLIND}::test_a_forged_syn_does_not_keep_us_from_connecting",),
    ),
    Mutation(
        "RST in TIME-WAIT",
        "utcp/core/timewait.py",
        "            # RFC 1337 §3 (F1): a RST does not end TIME-WAIT.\n            return DROP",
        "            return ANSWER",
        ("tests/script/test_arrival_matrix.py::test_segment_in_state",),
    ),
    # -- answers as a tool ---------------------------------------------------------------------
    Mutation(
        "no RST for a RST",
        "utcp/core/resets.py",
        "        if flags & RST:\n",
        "        if False:\n",
        (f"{CHALLENGE}::test_resets_do_not_breed",),
    ),
    Mutation(
        "RSTs are limited for each host",
        "utcp/core/resets.py",
        " % _BUDGETS",
        " % 1",
        (f"{CHALLENGE}::test_the_number_of_my_resets_says_nothing_of_others",),
    ),
    Mutation(
        "RSTs are limited",
        "utcp/core/resets.py",
        "        if spent >= self._rate:\n",
        "        if False:\n",
        (f"{CHALLENGE}::test_strays_in_the_name_of_one_host_reach_it_at_a_bounded_rate",),
    ),
    # -- ICMP ----------------------------------------------------------------------------------
    Mutation(
        "ICMP quotes what is in flight",
        "utcp/core/icmp.py",
        "    return conn.snd.snd_una <= seq < conn.snd.snd_nxt",
        "    return True or bool(seq)",
        (
            f"{ICMP}::test_what_is_not_in_flight_is_no_quote",
            f"{ICMP}::test_connecting_is_refused_by_nobody_who_guesses",
        ),
    ),
    Mutation(
        "ICMP quotes enough",
        "utcp/core/icmp.py",
        "        return not quoted\n",
        "        return True\n",
        (f"{ICMP}::test_a_quote_too_short_for_its_number_is_none",),
    ),
    Mutation(
        "ICMP that quotes nothing",
        "utcp/udp/linux.py",
        "        if mtu and not quoted:\n",
        "        if False:\n",
        (
            "tests/udp/test_linux.py::TestErrorQueue::test_messages_that_quote_nothing_change_no_mtu",
        ),
    ),
    Mutation(
        "hard errors are soft once established",
        "utcp/core/icmp.py",
        "    if hard and (passive or (conn.state is SYN_SENT and conn.config.icmp_refuses)):\n",
        "    if hard:\n",
        (f"{ICMP}::test_hard_errors_end_nothing_that_is_established",),
    ),
    Mutation(
        "least path MTU",
        "utcp/core/pmtu.py",
        "        mtu = max(mtu, self.least)\n",
        "",
        (f"{ICMP}::test_no_message_makes_segments_smaller_than_every_path_takes",),
    ),
    # -- lies about what has arrived -----------------------------------------------------------
    Mutation(
        "slow start counts bytes",
        "utcp/core/cc/base.py",
        "        counted = min(acked, _GROWTH_SEGMENTS * self.mss)\n",
        "        counted = self.mss\n",
        (f"{LYING}::test_dividing_acknowledgments_gains_nothing",),
    ),
    Mutation(
        "partial ACKs within a retransmission",
        "utcp/core/loss.py",
        "            if head is not None and head.marks & RESENT:\n",
        "            if False:\n",
        (f"{LYING}::test_dividing_acknowledgments_in_recovery_sends_nothing_twice",),
    ),
    Mutation(
        "duplicate ACKs count up to what is outstanding",
        "utcp/core/records.py",
        "        if excess > 0:\n",
        "        if False:\n",
        (f"{LYING}::test_spoofed_duplicates_count_for_no_more_than_is_outstanding",),
    ),
    Mutation(
        "SACK blocks lie between SND.UNA and SND.NXT",
        "utcp/core/flight.py",
        "            if self.una <= start < end <= self.nxt:\n",
        "            if start < end and start <= self.nxt:\n",
        (f"{SACKS}::test_blocks_that_make_no_sense_mark_nothing",),
    ),
    Mutation(
        "SACKs split no segments",
        "utcp/core/sender.py",
        "        self.flight.least_piece = min(self.mss, _LARGE_MSS) >> 1\n",
        "",
        (
            f"{SACKS}::test_single_bytes_do_not_become_single_segments",
            f"{SACKS}::test_single_bytes_cost_no_record_each",
        ),
    ),
    Mutation(
        "reneging is noticed",
        "utcp/core/loss.py",
        "        reneged = flight.head_sacked()\n",
        "        reneged = False\n",
        (f"{SACKS}::test_a_peer_that_takes_everything_back_is_sent_everything_again",),
    ),
    Mutation(
        "old retransmissions are forgotten",
        "utcp/core/records.py",
        "            while again and again[0][2] <= self.una:\n",
        "            while False:\n",
        (f"{SACKS}::test_retransmissions_of_a_long_connection_without_sack_are_forgotten",),
    ),
    Mutation(
        "a FIN that is never acknowledged is given up",
        "utcp/core/timeouts.py",
        "    if retries < limit:\n",
        "    if conn.orphan or retries < limit:\n",
        (f"{LYING}::test_a_fin_that_is_never_acknowledged_ends_a_closed_connection",),
    ),
    # -- windows and sizes ---------------------------------------------------------------------
    Mutation(
        "an orphan does not wait for a window for ever",
        "utcp/core/ack.py",
        "    if ack > una or (snd.probes and not conn.orphan):\n",
        "    if ack > una or snd.probes:\n",
        (f"{WINDOWS}::test_nobody_waits_for_a_shut_window_once_the_application_has_closed",),
    ),
    Mutation(
        "a window that breathes",
        "utcp/core/ack.py",
        "        if probes and snd.snd_nxt > snd.snd_una:\n",
        "        if snd.snd_nxt > snd.snd_una:\n",
        (f"{WINDOWS}::test_a_window_that_breathes_makes_no_storm",),
    ),
    Mutation(
        "probes leave no trace",
        "utcp/core/records.py",
        "            while again and start <= again[-1][1] and again[-1][2] <= end:\n",
        "            while False:\n",
        (f"{WINDOWS}::test_a_window_shut_for_ever_costs_a_probe_in_two_minutes",),
    ),
    Mutation(
        "nothing goes again beyond the window",
        "utcp/core/output.py",
        "    end = min(end, snd.snd_una + snd.snd_wnd)\n    if start >= end:\n",
        "    if start >= end:\n",
        (f"{WINDOWS}::test_nothing_goes_beyond_a_window_that_shrinks",),
    ),
    Mutation(
        "least segment size",
        "utcp/core/sender.py",
        "        self.mss = max(mss, MIN_MSS)\n",
        "        self.mss = max(mss, 1)\n",
        (f"{WINDOWS}::test_tiny_maximum_sizes_are_raised_to_linuxs_floor",),
    ),
    Mutation(
        "greatest window scale",
        "utcp/core/segment.py",
        "min(buf[pos + 2], MAX_WSCALE)",
        "buf[pos + 2]",
        (f"{WINDOWS}::test_a_window_scale_is_fourteen_at_most",),
    ),
    # -- bytes ---------------------------------------------------------------------------------
    Mutation(
        "the short cut keeps off what is held",
        "utcp/core/fastpath.py",
        "        if rcv.reassembly.starts or ",
        "        if ",
        (f"{REWRITES}::test_in_any_order_the_first_copy_wins",),
    ),
    Mutation(
        "the first FIN stands",
        ARRIVAL,
        "        if rcv.fin_seq < 0 and ",
        "        if ",
        (f"{REWRITES}::test_a_second_fin_elsewhere_is_none",),
    ),
    Mutation(
        "no FIN in front of what is held",
        ARRIVAL,
        " and least <= fin_seq <= rcv.rcv_adv",
        " and least and fin_seq <= rcv.rcv_adv",
        (f"{REWRITES}::test_a_fin_in_front_of_what_is_held_is_none",),
    ),
    Mutation(
        "nothing behind the FIN",
        "utcp/core/text.py",
        "    if rcv.fin_seq >= 0 and seq + len(data) > rcv.fin_seq:\n",
        "    if False:\n",
        (f"{REWRITES}::test_a_fin_ahead_cuts_what_comes_later",),
    ),
    Mutation(
        "nothing after a RST in the same train",
        ARRIVAL,
        "    if state is CLOSED:\n        return\n",
        "    if state is CLOSED:\n        conn.agenda.reset(now, conn.addr, seg)\n        return\n",
        (f"{REWRITES}::test_a_train_behind_a_reset_goes_nowhere",),
    ),
    Mutation(
        "small pieces are joined",
        "utcp/core/recv_buffer.py",
        " or size < SMALL:",
        ":",
        (f"{HOLES}::test_single_bytes_that_nobody_reads_cost_little_more_than_themselves",),
    ),
    Mutation(
        "held bytes are joined",
        "utcp/core/reassembly.py",
        "    if chunks and len(chunks[-1]) + len(chunk) <= MERGE:\n",
        "    if False:\n",
        (f"{HOLES}::test_tiny_segments_above_a_hole_cost_little_more_than_themselves",),
    ),
    Mutation(
        "holes are bounded",
        RECEIVER,
        "_MAX_RANGES: Final = 2048\n",
        "_MAX_RANGES: Final = 1 << 30\n",
        (f"{HOLES}::test_holes_are_bounded_in_number_and_in_bytes",),
    ),
    Mutation(
        "nothing beyond the window is held",
        RECEIVER,
        "            data = data[: self.rcv_adv - seq]\n            end = self.rcv_adv\n",
        "",
        (f"{HOLES}::test_segments_beyond_the_window_hold_nothing",),
    ),
    *FLOODS,
)

FAST: Final = (
    "reset on exact match only",
    "ACK above SND.NXT",
    "challenge limit",
    "RSTs are limited for each host",
    "ICMP quotes what is in flight",
    "partial ACKs within a retransmission",
    "SACKs split no segments",
    "the short cut keeps off what is held",
    "cookies when the backlog is full",
    "limit of connections from one host",
    "pressure shuts windows",
)
"""Those that CI takes out: one of each family."""
