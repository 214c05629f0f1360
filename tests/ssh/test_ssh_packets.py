"""Bytes below a connection: read by the bufferful, written in one piece, with a deadline and an end."""

import socket
import threading

import paramiko
import pytest

from macfleet.ssh.packets import Packets
from macfleet.ssh.wire import Wire


@pytest.fixture
def ends():
    """Our end of a connection and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wire = Wire.connect_to("127.0.0.1", listening.getsockname()[1], 60)
        peer, _ = listening.accept()
        peer.settimeout(60)
        with wire, peer:
            yield wire, peer


def test_what_came_in_one_piece_is_handed_out_as_it_is_asked_for(ends):
    wire, peer = ends
    peer.sendall(b"a line\nrest")
    peer.shutdown(socket.SHUT_WR)
    assert [wire.recv(4), wire.recv(3), wire.recv(100)] == [b"a li", b"ne\n", b"rest"]
    assert not wire.hung_up
    assert wire.recv(1) == b""
    assert wire.hung_up
    assert wire.heard == b"a line\nrest"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_waits_for_bytes_hears_that_the_stream_was_closed_here(ends):
    wire, _ = ends
    wire.settimeout(None)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(wire.recv(1)), daemon=True)
    reader.start()
    wire.close()
    reader.join(60)
    # Closed before it began to wait, it finds no stream at all.
    assert heard in ([b""], [])
    assert not reader.is_alive()
    assert not wire.hung_up


def test_held_packets_leave_in_one_piece_and_in_order(ends):
    wire, peer = ends
    packets = Packets(wire)
    packets.hold()
    for word in (b"one ", b"two "):
        packets.write_all(word)
    packets.hold()
    packets.write_all(b"three ")
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    packets.let_go()
    packets.write_all(b"four")
    packets.let_go()
    wire.shutdown(socket.SHUT_WR)
    peer.settimeout(60)
    assert b"".join(iter(lambda: peer.recv(100), b"")) == b"one two three four"


def test_packets_that_cannot_leave_raise_where_they_are_let_go(ends):
    wire, _ = ends
    packets = Packets(wire)
    packets.hold()
    packets.write_all(b"one")
    wire.close()
    with pytest.raises(EOFError):
        packets.let_go()
    with pytest.raises(EOFError):
        packets.write_all(b"nothing is held any more")


def test_a_key_exchange_has_a_deadline_until_the_other_side_answers(ends):
    packets = Packets(ends[0])
    assert not packets.handshake_timed_out()
    packets.start_handshake(-1)
    assert packets.handshake_timed_out()
    packets.complete_handshake()
    assert not packets.handshake_timed_out()
    packets.start_handshake(-1)
    assert not packets.handshake_timed_out()


def test_no_thread_waits_for_the_deadline(ends):
    before = threading.active_count()
    Packets(ends[0]).start_handshake(60)
    assert threading.active_count() == before


def test_a_deadline_is_what_paramiko_asks_for():
    """Each of these is called by paramiko; a new name would leave the old way in force."""
    for name in ("start_handshake", "handshake_timed_out", "complete_handshake", "write_all"):
        assert callable(getattr(paramiko.packet.Packetizer, name))
