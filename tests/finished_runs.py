"""Run folders as finished searches leave them, without any search."""

import json

from jaxnas.run import provenance
from jaxnas.spaces import genotype, registry, sampling

ENVIRONMENT = {
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "device": {"kind": "cpu", "count": 1},
    "backend": "cpu",
    "cpu_count": 2,
    "x64": False,
    "matmul_precision": None,
    "XLA_FLAGS": "",
    "commit": "c0ffee",
}
SETTINGS = {"data": "digits", "space": "nasbench201", "method": "darts", "epochs": 12}
PROGRAM = (1, "ab" * 32)


def write(
    folder, *, seed=0, top1=0.9, random=(0.88,), repeats=(), data="d1", truth=None, **changed
):
    """A finished search into `folder`; `repeats`: accuracies of further trainings of its cell."""

    folder.mkdir(parents=True, exist_ok=True)
    settings = SETTINGS | {"seed": seed} | changed
    record = {
        "settings": settings,
        "seed": seed,
        "data": data,
        "execution": {"mode": "step", "chunk_steps": 2},
        "environment": ENVIRONMENT,
    }
    (folder / "settings.json").write_text(json.dumps(record))
    provenance.write_parts(folder, record, PROGRAM)
    lines = [{"step": n, "loss/train": 2.0 / n, "time/step_ms": 250.0} for n in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "gates.jsonl").write_text('{"step": 2}\n')
    cell = sampling.random_genotype(registry.get("nasbench201"), 0)
    (folder / "genotype.json").write_text(genotype.to_json(cell))
    found = result(top1) | {"latency_ms": 0.5}
    sets = None if truth is None else {"sets": {"cifar10": {"test_200": truth}}}
    summary = {"found": found, "random": [result(0.88)], "truth": sets}
    (folder / "summary.json").write_text(json.dumps(summary))
    for number, value in enumerate(repeats, 1):
        place = folder / "retrain" / f"found-{number}"
        place.mkdir(parents=True)
        (place / "result.json").write_text(json.dumps(result(value)))
    return folder


def result(top1):
    return {
        "top1": top1, "top5": 0.99, "loss": 0.5, "ece": 0.02, "parameters": 1000, "macs": 20000,
        "digest": "f00",
    }  # fmt: skip
