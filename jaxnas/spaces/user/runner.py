"""Runs all claims on a user's file and prints the results as a table."""

import rich.console
import rich.table
import rich.text

from jaxnas.spaces.user import claim, space_claims, supernet_claims, user_space

CLAIMS = (*space_claims.CLAIMS, *supernet_claims.CLAIMS)
STYLES = {True: ("holds", "green"), False: ("BROKEN", "bold red"), None: ("not tried", "dim")}


def evaluate_all(user: user_space.UserSpace) -> list[claim.ClaimResult]:
    """A result for each claim; after the first that fails the others are not tried."""
    results = []
    for tested in CLAIMS:
        if all(result.holds for result in results):
            results.append(claim.evaluate(tested, user))
        else:
            results.append(claim.ClaimResult(tested.name, None, "mend the above first"))
    return results


def run(path: str) -> int:
    """Checks the file at `path` and prints the table: 0 where all claims hold, else 1.

    Raises UserSpaceError for a file that cannot be read.
    """
    console = rich.console.Console()
    results = evaluate_all(user_space.load(path))
    table = rich.table.Table("claim", "verdict", "explanation", title=path)
    for name, holds, explanation in results:
        table.add_row(name, rich.text.Text(*STYLES[holds]), rich.text.Text(explanation))
    console.print(table)
    return 0 if all(result.holds for result in results) else 1
