"""What is no file of a fitted model, whatever its kind: (from its record to a text, the cause)."""

import json

OF_EVERY_KIND = [
    (lambda r: "[]", "not of the format"),
    (lambda r: "{", "no JSON"),
    (lambda r: json.dumps(r | {"version": 9}), "version 9"),
    (lambda r: json.dumps(r | {"constant": None}), "no whole model"),
    (lambda r: json.dumps(r | {"errors": []}), "no whole model"),
]
