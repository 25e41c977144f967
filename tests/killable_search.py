"""`jaxnas` as a process to be killed: `python killable_search.py KILL ARGUMENT...`.

KILL is `WHERE:NUMBER`, where the process ends itself with SIGKILL: `save:N` inside the N-th save,
`chunk:N` before the N-th chunk of steps, `picture:N` before the cells are drawn for the N-th time,
`page:N` before the N-th report; or `none`.
"""

import sys

import orbax.checkpoint as ocp

from jaxnas import cli
from jaxnas.pipelines import genotypes
from jaxnas.report import run_page
from jaxnas.run import step_runner
from tests import killable

PLACES = {
    "save": (ocp.StandardCheckpointHandler, "finalize"),
    "chunk": (step_runner, "chunk_length"),
    "picture": (genotypes, "pictures"),
    "page": (run_page, "write"),
}


def main(kill: str, *argv: str) -> int:
    where, _, number = kill.partition(":")
    if where != "none":
        holder, name = PLACES[where]
        deadly = killable.die_at(int(number), getattr(holder, name), after=where == "save")
        setattr(holder, name, deadly)
    return cli.main(argv)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
