"""The first line of a connection: sent with it, once, whoever speaks SSH over it afterwards."""

import socket

import pytest

from macfleet.ssh.wire import VERSION, Wire

HELLO = f"{VERSION}\r\n".encode()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def heard(server, send):
    """What a server gets of a connection over which `send` writes."""
    with Wire.connect_to("127.0.0.1", server.getsockname()[1], 60) as wire:
        peer, _ = server.accept()
        with peer:
            peer.settimeout(60)
            send(wire)
            wire.shutdown(socket.SHUT_WR)
            said = bytearray()
            while piece := peer.recv(4096):
                said += piece
    return bytes(said)


def test_the_line_that_went_ahead_is_not_sent_twice(server):
    def send(wire):
        wire.greet()
        assert wire.send(HELLO) == len(HELLO)
        wire.send(b"keys")

    assert heard(server, send) == HELLO + b"keys"


def test_without_going_ahead_the_line_is_sent_as_ever(server):
    assert heard(server, lambda wire: wire.send(HELLO)) == HELLO


def test_only_the_first_piece_is_taken_for_that_line(server):
    def send(wire):
        wire.greet()
        wire.send(b"other")
        wire.send(HELLO)

    assert heard(server, send) == HELLO + b"other" + HELLO


def test_a_server_that_hung_up_is_met_by_who_sends_next(server):
    with Wire.connect_to("127.0.0.1", server.getsockname()[1], 60) as wire:
        server.accept()[0].close()
        wire.shutdown(socket.SHUT_WR)
        wire.greet()
        with pytest.raises(OSError, match="pipe"):
            wire.send(HELLO)
    assert wire.hung_up
