"""What closing a channel does when its connection breaks at that moment."""

import paramiko
import pytest

from macfleet.ssh.conversation import close_channel


@pytest.mark.parametrize("error", [EOFError(), OSError("gone"), paramiko.SSHException("gone")])
def test_a_channel_whose_goodbye_cannot_be_sent_is_closed_in_silence(error):
    class Deaf:
        closed = False

        def close(self):
            self.closed = True
            raise error

    channel = Deaf()
    close_channel(channel)
    assert channel.closed
