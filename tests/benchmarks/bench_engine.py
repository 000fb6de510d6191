"""How long runs take, beside the bare cost of the same durable commits, and beside peers.

    python tests/benchmarks/bench_engine.py [--long] [--json] [--stores NAME ...] [--peers NAME ...]

Only the ratios mean something on another machine: what is compared is measured in the same rounds.
A raw commit is one insert and one update of 300 bytes, with the bare driver; `x raw` compares a
workload with writing as many rows in as many transactions.
"""

import argparse
import json
import sys
from pathlib import Path

import contenders
import report
from contenders import PEERS, Program, UnavailableError
from measuring import Bench
from stores import NAMES, machine, opened
from workloads import PLANS, Plan


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--long", dest="plan", action="store_const", const="long", default="short")
    size.add_argument("--smoke", dest="plan", action="store_const", const="smoke")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stores", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS))
    parser.add_argument("--workloads", nargs="*", help="only these: W1, W2, ...")
    parser.add_argument("--cache", type=Path, default=contenders.default_cache())
    return parser.parse_args()


def planned(options: argparse.Namespace) -> Plan:
    """Return what is to be measured."""
    plan = PLANS[options.plan]()
    wanted = options.workloads
    if wanted is not None:
        plan.workloads[:] = [one for one in plan.workloads if one.name in wanted]
        if "W5" not in wanted:
            plan.histories.clear()
    return plan


def installed_peers(names: list[str], cache: Path) -> tuple[dict[str, Program], list[str]]:
    """Return the peers that can take part, and why others can't."""
    found, missing = {}, []
    for name in names:
        tell(f"installing {name}, unless it is there")
        try:
            found[name] = contenders.peer(name, cache)
        except UnavailableError as error:
            missing.append(str(error))
    return found, missing


def tell(what: str) -> None:
    """Show what is being done."""
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - talk


def main() -> None:
    """Measure and print."""
    options = arguments()
    plan = planned(options)
    wanted = plan.peers if options.peers is None else options.peers
    peers, missing = installed_peers(wanted, options.cache)
    bench = Bench(contenders.our_own("cloacina"), contenders.our_own("raw"), peers, tell)
    about = machine()
    with opened(options.stores) as (stores, without):
        results = [bench.measure(store, plan) for store in stores]
    missing += without
    if options.json:
        told = json.dumps(report.as_json(about, results, missing), indent=2)
    else:
        told = report.as_text(about, results, missing)
    print(told)  # noqa: T201 - the result


if __name__ == "__main__":
    main()
