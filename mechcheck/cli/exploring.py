"""`mechcheck explore`, as a command."""

import argparse
import sys
from importlib.util import find_spec
from urllib.parse import urlencode

from mechcheck.base.errors import MechcheckError

_NEEDED = ("starlette", "uvicorn")
_MODEL = "names-gpt2-seed4"


def add_explore_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add it to the command line."""
    explore = commands.add_parser("explore", help="play with a model on a page of this machine: prompts, heads, interventions, attention")
    explore.add_argument("model", nargs="?", help=f"as in --mech-model (default: the session's, or {_MODEL})")
    first = explore.add_mutually_exclusive_group()
    first.add_argument("--prompt", metavar="TEXT", help="the prompt that the page opens with")
    first.add_argument("--task", help="open with a prompt of this task (ioi, induction, ...)")
    first.add_argument("--session", metavar="FILE", help="open a session that was saved on the page")
    explore.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")
    explore.add_argument("--save-to", metavar="DIR", help="folder that claims made on the page are saved into")
    explore.set_defaults(run=_explore)


def _explore(chosen: argparse.Namespace) -> None:
    if any(find_spec(name) is None for name in _NEEDED):
        raise MechcheckError("the explorer needs starlette and uvicorn: pip install 'mechcheck[explore]'")
    from mechcheck.explorer.saving import folder_to_save_to
    from mechcheck.explorer.server import Server
    from mechcheck.explorer.sessions import session_file
    from mechcheck.models.loading import load_model
    from mechcheck.models.room import check_room
    from mechcheck.tasks.registry import check_task

    if chosen.task is not None:
        check_task(chosen.task)
    folder = None if chosen.save_to is None else folder_to_save_to(chosen.save_to)
    session, named = ("", _MODEL) if chosen.session is None else session_file(chosen.session)
    place = chosen.model or named
    tight = check_room(place, chosen.device)
    if tight is not None:
        print(f"mechcheck: {tight}", file=sys.stderr, flush=True)
    model = load_model(place, device=chosen.device, offline=True)
    server = Server(model, place=place, device=chosen.device, folder=folder, session=session)
    task = chosen.task or (None if chosen.prompt or session else server.workbench.first_task())
    opening = {name: value for name, value in (("text", chosen.prompt), ("task", task)) if value}
    print(f"{server.link}#{'session' if session else urlencode(opening)}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:  # how one ends it
        return
