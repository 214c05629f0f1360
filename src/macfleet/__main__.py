"""Entry point of the `macfleet` command."""

from macfleet.cli.main import main

if __name__ == "__main__":
    main()
