"""Runs every benchmark on an embedded Valkey and prints one table each. Ratios of one run are what counts."""

import argparse
import platform

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from bench import polls, rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", required=True, help="a Python that has bench/peers/requirements.txt")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, medians of {polls.ROUNDS} rounds\n")
    with EmbeddedServer() as server:
        store = connect(server.url)
        _print_polls(polls.measure(store, server.url, arguments.peers_python))
        _print_rows(rows.measure(store, server.url, arguments.peers_python))
        store.close()


def _print_polls(results: list[polls.Figures]) -> None:
    for connections in polls.CONNECTIONS:
        print(f"Server CPU per poll, {connections} connections, {polls.JOBS} running jobs, 2 workers")
        print(f"  {'':42}{'CPU µs':>8}{'ratio':>8}{'p99 ms':>8}")
        here = [each for each in results if each.connections == connections]
        for each in here:
            print(f"  {each.name:42}{each.cpu_us:8.0f}{each.cpu_us / here[0].cpu_us:8.2f}{each.p99_ms:8.1f}")
        print()


def _print_rows(results: list[tuple[str, float]]) -> None:
    print("Rows reported per second, one worker")
    print(f"  {'':42}{'rows/s':>12}{'ratio':>8}")
    ours = results[0][1]
    for name, rows_per_s in results:
        print(f"  {name:42}{rows_per_s:12,.0f}{ours / rows_per_s:8.1f}")


if __name__ == "__main__":
    main()
