"""`mechcheck watch`, as a command."""

import argparse


def add_watch_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add it to the command line; what it does not know is for pytest."""
    told = "run claims again when they, their circuits or what they import is saved; takes pytest's arguments"
    commands.add_parser("watch", help=told).set_defaults(run=run_watch)


def run_watch(chosen: argparse.Namespace) -> int:
    """Watch until somebody quits."""
    from mechcheck.plugin.watch.loop import watch

    return watch(chosen.pytest)
