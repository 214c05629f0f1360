"""Entry point of the `macfleet` command."""

import gc
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; see `macfleet.cli.main`."""
    # A command is short and imports much: looking for garbage meanwhile is a twentieth of its start.
    gc.set_threshold(300_000, 20, 20)
    from macfleet.cli.kept_code import keep_code  # noqa: PLC0415  (after the collector was told)

    kept = keep_code()
    from macfleet.cli.main import main as run  # noqa: PLC0415  (its classes are the first ones kept)

    try:
        run()
    finally:
        kept.keep()
        # What is left goes with the process: looking through all of it once more takes a tenth of a second.
        gc.freeze()


if __name__ == "__main__":
    main()
