"""The command `batchstatus`. Without the extra that the command line needs, it names that extra and exits."""

import importlib
import sys


def main() -> None:
    """Run the command line and exit with its exit code."""
    try:
        cli = importlib.import_module("batchstatus.cli")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "batchstatus":
            raise
        print(  # noqa: T201
            f"batchstatus: {error.name} is missing; the command line needs: pip install 'batchstatus[server]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
