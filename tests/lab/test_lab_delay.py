"""The delay proxy: what it delays, what it counts, what it leaves whole."""

import socket
import threading
import time

import pytest

from macfleet.lab.delay import DelayProxy

pytestmark = pytest.mark.slow


class Server:
    """Echoes what it gets, after a greeting; ends when the client has ended."""

    def __init__(self, greeting=b""):
        self.greeting = greeting
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(connection,), daemon=True).start()

    def echo(self, connection):
        with connection:
            connection.sendall(self.greeting)
            while data := connection.recv(65536):
                connection.sendall(data)


@pytest.fixture
def server():
    server = Server(b"hello")
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


def exactly(connection, count):
    found = b""
    while len(found) < count:
        piece = connection.recv(65536)
        assert piece, "the connection ended early"
        found += piece
    return found


def test_each_question_costs_one_round_trip_and_the_greeting_two(server):
    with DelayProxy([server.port], 0.1) as far:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", far.ports[0])) as client:
            assert exactly(client, 5) == b"hello"
            for _ in range(3):
                client.sendall(b"?")
                assert exactly(client, 1) == b"?"
            seconds = time.monotonic() - began
        (passage,) = far.passages()
    assert passage.connections == 1
    assert passage.round_trips == 5
    assert (passage.up, passage.down) == (3, 8)
    # Never sooner than light: the lower bound holds on any machine.
    assert seconds >= 0.5


def test_questions_sent_together_share_a_round_trip(server):
    with (
        DelayProxy([server.port], 0.2) as far,
        socket.create_connection(("127.0.0.1", far.ports[0])) as client,
    ):
        assert exactly(client, 5) == b"hello"
        for _ in range(5):
            client.sendall(b"?")
        assert exactly(client, 5) == b"?????"
        assert far.passages()[0].round_trips == 3


@pytest.mark.parametrize("rtt", [0.0, 0.02])
def test_much_data_arrives_whole_and_the_end_of_file_behind_it(server, rtt):
    sent = bytes(range(256)) * 80_000
    with (
        DelayProxy([server.port], rtt) as far,
        socket.create_connection(("127.0.0.1", far.ports[0])) as client,
    ):
        exactly(client, 5)
        threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR))).start()
        assert exactly(client, len(sent)) == sent
        assert client.recv(1) == b""


def test_a_port_where_nobody_listens_ends_the_connection(server):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with (
            DelayProxy([nobody.getsockname()[1]], 0.01) as far,
            socket.create_connection(("127.0.0.1", far.ports[0])) as client,
        ):
            assert client.recv(1) == b""


def test_connections_open_at_once_are_counted_over_all_ports(server):
    with DelayProxy([server.port, server.port], 0.01) as far:
        clients = [socket.create_connection(("127.0.0.1", port)) for port in far.ports]
        for client in clients:
            exactly(client, 5)
        assert far.most_open == 2
        for client in clients:
            client.close()
