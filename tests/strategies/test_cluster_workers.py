"""A cluster of two nodes, one of which dies while it evaluates."""

import time

import numpy as np
import pytest

from jaxnas.evaluators import evaluator as evaluators
from jaxnas.strategies import workers
from tests.strategies.toys import TEN


def figures(design, seed):
    time.sleep(1.0)
    if design == {"a": 3, "b": "x"}:
        raise ValueError("bad design")
    return {"score": design["a"] + seed / 2**32}


def build():
    return workers.Task(TEN, evaluators.of_function({"score": True}, figures), 5)


def test_a_node_that_dies_loses_nothing():
    pytest.importorskip("ray", reason="Ray is an extra: pip install jaxnas[sweep]")
    from ray.cluster_utils import Cluster

    from jaxnas.strategies import cluster_workers

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    designs = np.array([[a, b] for b in (0, 1) for a in range(5)])
    found = {}
    try:
        with cluster_workers.cluster(nodes.address, build) as staff:
            assert staff.count == 2
            for row, result in staff.run(designs):
                found[row] = result
                if len(found) == 3:
                    nodes.remove_node(second, allow_graceful=False)
    finally:
        nodes.shutdown()
    here = dict(workers.here(build()).run(designs))
    assert found.keys() == here.keys()
    for row in found:
        assert (found[row].figures, found[row].failure) == (here[row].figures, here[row].failure)


def test_an_address_where_nothing_answers_is_named():
    pytest.importorskip("ray", reason="Ray is an extra: pip install jaxnas[sweep]")
    from jaxnas.strategies import cluster_workers

    with pytest.raises(ValueError, match="No cluster at '127.0.0.1:1'"):
        cluster_workers.cluster("127.0.0.1:1", build).__enter__()
