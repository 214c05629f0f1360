"""SSH: one kept connection a node, one script an exec, host keys nobody trusts blindly."""

from macfleet.ssh.askpass import Passphrases
from macfleet.ssh.connection import Connection
from macfleet.ssh.enrolment import Enrolment, EnrolmentOutcome, enrol
from macfleet.ssh.parcels import file_parcel
from macfleet.ssh.pool import SshTransports

__all__ = [
    "Connection",
    "Enrolment",
    "EnrolmentOutcome",
    "Passphrases",
    "SshTransports",
    "enrol",
    "file_parcel",
]
