"""The verdicts on a user's file, one after another, as a short table."""

import rich.console
import rich.table
import rich.text

from jaxnas.spaces import user_space
from jaxnas.spaces.check import claim, space_claims, supernet_claims

CLAIMS = (*space_claims.CLAIMS, *supernet_claims.CLAIMS)
STYLES = {True: ("holds", "green"), False: ("BROKEN", "bold red"), None: ("not tried", "dim")}


def evaluate_all(found: user_space.UserSpace) -> list[claim.ClaimResult]:
    """A verdict for each claim; after the first broken one the others are not tried."""
    verdicts = []
    for each in CLAIMS:
        if all(v.holds for v in verdicts):
            verdicts.append(claim.evaluate(each, found))
        else:
            verdicts.append(claim.ClaimResult(each.name, None, "mend the above first"))
    return verdicts


def run(path: str) -> int:
    """Judges the file at `path` and prints the table: 0 where all holds, else 1.

    Raises custom.CustomError for a file that cannot be read.
    """
    console = rich.console.Console()
    verdicts = evaluate_all(user_space.load(path))
    table = rich.table.Table("claim", "verdict", "explanation", title=path)
    for name, holds, explanation in verdicts:
        table.add_row(name, rich.text.Text(*STYLES[holds]), rich.text.Text(explanation))
    console.print(table)
    return 0 if all(v.holds for v in verdicts) else 1
