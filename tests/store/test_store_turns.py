"""The threads of one process take turns at the state database."""

import threading
from contextlib import closing

from macfleet.store.sql_state import SqlState


def test_a_thread_that_waits_is_served_before_one_that_comes_back_again_and_again(tmp_path):
    with closing(SqlState(f"sqlite:///{tmp_path}/state.db")) as opened:
        served, waits, turns = threading.Event(), threading.Event(), []

        def wait_for_a_turn():
            for _ in range(20):
                waits.set()
                opened.database.read("SELECT 1")
            served.set()

        waiting = threading.Thread(target=wait_for_a_turn, daemon=True)
        with opened.database.transaction() as rows:
            rows.read("SELECT 1")
            waiting.start()
            assert waits.wait(30)
        while not served.is_set() and len(turns) < 20_000:
            turns.append(opened.database.read("SELECT 1"))
        assert served.is_set(), f"not served in {len(turns)} turns of another thread"
        waiting.join(30)
