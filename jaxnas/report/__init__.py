"""Reports: figures, tables, and the HTML page of a run."""
