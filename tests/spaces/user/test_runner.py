"""`jaxnas check` accepts what works and names what does not."""

import hashlib
import pathlib
import sys
import textwrap

import jax
import pytest

from jaxnas.core.types import Choice
from jaxnas.nets import ops
from jaxnas.nets.mixed import edge_stacks
from jaxnas.spaces import choices
from jaxnas.spaces import registry as spaces_registry
from jaxnas.spaces.darts import inherit as darts_inherit
from jaxnas.spaces.user import runner, source_digest, supernet_claims, user_space
from jaxnas.spaces.user.claim import ClaimFailed

# A file whose only other operation is `Mine`; what a test says of it is put in its place.
FILE = """
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxnas import space
from jaxnas.nets import ops
from jaxnas.types import Choice

class Mine(nn.Module):
    features: int
    stride: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x):
        {body}

CANDIDATES = dict(ops.DARTS) | {{"mine": {factory}}}
SPACE = space.darts(nodes=1, candidates=("skip_connect", "mine"))
"""
PLAIN = 'return self.norm(name="norm")(ops.Pointwise(self.features, self.stride, name="p")(x))'


def written(tmp_path, body=PLAIN, factory="Mine", more=""):
    path = tmp_path / "mine.py"
    indented = textwrap.indent(textwrap.dedent(body), " " * 8).strip()
    path.write_text(FILE.format(body=indented, factory=factory) + more)
    return str(path)


def first_broken(path):
    results = runner.evaluate_all(user_space.load(path))
    broken = next(v for v in results if not v.holds)
    after = results[results.index(broken) + 1 :]
    assert broken.holds is False
    assert all(v.holds is None for v in after)
    return broken


def test_accepts_a_file_that_keeps_to_all(tmp_path, capsys):
    # The example of the docs is checked by a command of the README.
    assert runner.run(written(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert printed.count("holds") == len(runner.CLAIMS)
    assert "BROKEN" not in printed


def test_a_broken_claim_is_printed_and_told_by_the_exit_code(tmp_path, capsys):
    assert runner.run(written(tmp_path, body="return x[:, :2]")) == 1
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert "not tried" in printed


@pytest.mark.parametrize(
    ("body", "claim", "reason"),
    [
        ("return x", "shapes", "'mine' at stride 2"),
        ("return ops.Pointwise(3)(x)[:, :: self.stride, :: self.stride]", "shapes", "features"),
        ("return x[:, : x.shape[1] // self.stride, : x.shape[2] // self.stride]", "shapes", "up"),
        ("return x[:, :: self.stride, :: self.stride].astype(jnp.bfloat16)", "shapes", "bfloat16"),
        ("return (x, x)", "shapes", "tuple"),
        (
            """
            alpha = self.param("alpha", nn.initializers.ones, ())
            return alpha * x[:, :: self.stride, :: self.stride]
            """,
            "no arch in the weights",
            "'alpha'",
        ),
        (
            """
            mix = self.variable("preferences", "mix", jnp.ones, ())
            return mix.value * x[:, :: self.stride, :: self.stride]
            """,
            "no arch in the weights",
            "'preferences'",
        ),
        ("return jnp.sqrt(jnp.abs(x[:, :: self.stride, :: self.stride]))", "differentiate", "zero"),
        ("return x[:, :: self.stride, :: self.stride] / 0", "differentiate", "not finite"),
        ("raise RuntimeError('no such kernel')", "shapes", "RuntimeError: no such kernel"),
    ],
)
def test_names_the_broken_claim_and_the_reason(tmp_path, body, claim, reason):
    broken = first_broken(written(tmp_path, body))
    assert claim in broken.name
    assert reason in broken.explanation
    assert "\n" not in broken.explanation


def test_an_operation_that_knows_where_it_stands_is_no_slice_of_the_supernet(tmp_path):
    body = "x = x + len(self.path)\nreturn x[:, :: self.stride, :: self.stride]"
    broken = first_broken(written(tmp_path, body))
    assert "discrete network" in broken.name
    assert "mine" in broken.explanation


def test_an_operation_with_other_weights_where_norms_are_affine_is_named(tmp_path):
    body = """
        y = ops.Pointwise(self.features, self.stride, name="p")(x)
        y = self.norm(name="norm")(y)
        if self.norm.keywords.get("affine"):
            y = y * self.param("gain", nn.initializers.ones, ())
        return y
    """
    broken = first_broken(written(tmp_path, body))
    assert "discrete network" in broken.name
    assert "gain" in broken.explanation


def test_statistics_of_another_dtype_compile_twice(tmp_path):
    body = """
        seen = self.variable("stats", "seen", lambda: jnp.zeros((), jnp.int32))
        if self.is_mutable_collection("stats") and not self.is_initializing():
            seen.value = seen.value + 1.5
        return x[:, :: self.stride, :: self.stride]
    """
    broken = first_broken(written(tmp_path, body))
    assert broken.name == "a search compiles once"


@pytest.mark.parametrize(
    ("more", "claim", "reason"),
    [
        ('SPACE = {"cell": SPACE["normal"]}', "well formed", "'cell'"),
        ('SPACE = SPACE | {"reduce": "none"}', "well formed", "not a jaxnas.types.Choice"),
        (
            'SPACE = SPACE | {"reduce": Choice([[0, 2]], [["mine"]])}',
            "well formed",
            "write tuples",
        ),
        (
            'SPACE = SPACE | {"reduce": Choice(((0, 2), (2, 2)), (("mine",),) * 2)}',
            "well formed",
            "(2, 2)",
        ),
        ('SPACE = SPACE | {"reduce": Choice(((0, 3),), (("mine",),))}', "well formed", "node 2"),
        ('SPACE = SPACE | {"reduce": Choice(((0, 2),), (("none",),))}', "well formed", "none"),
        (
            'SPACE = SPACE | {"reduce": Choice(((0, 2), (1, 2)), (("mine",),))}',
            "well formed",
            "2 edges and 1 rows",
        ),
        (
            'SPACE = SPACE | {"reduce": Choice(((0, 2), (1, 2)), (("mine",), ("none", "mine")))}',
            "rectangular",
            "equally many",
        ),
        ('SPACE = space.darts(1, ("mine", "yours"))', "known", "'yours'"),
        ('CANDIDATES = CANDIDATES | {"mine": 3}', "known", "int"),
        ('CANDIDATES = CANDIDATES | {"mine": lambda features: None}', "shapes", "factory("),
        ('CANDIDATES = CANDIDATES | {"mine": lambda f, s, n: None}', "shapes", "NoneType"),
    ],
)
def test_names_what_is_wrong_with_a_space(tmp_path, more, claim, reason):
    broken = first_broken(written(tmp_path, more=more))
    assert claim in broken.name
    assert reason in broken.explanation


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def (", "SyntaxError"),
        ("import no_such_package", "No module named"),
        ("CANDIDATES = {}", "sets no SPACE"),
        ("SPACE = 3", "SPACE is int"),
        ("SPACE = {}\nCANDIDATES = ['mine']", "CANDIDATES is list"),
    ],
)
def test_refuses_a_file_that_defines_no_space(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(user_space.UserSpaceError, match=reason) as refusal:
        runner.run(str(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("path", ["missing.py", "mine.txt", "."])
def test_refuses_what_is_no_file_of_python(tmp_path, path):
    (tmp_path / "mine.txt").write_text("SPACE = {}")
    with pytest.raises(user_space.UserSpaceError, match="no file of Python"):
        user_space.load(str(tmp_path / path))


UNEVEN = Choice(
    choices.dag(2, 2),
    (
        ("max_pool_3x3", "sep_conv_3x3"),
        ("noise", "none"),
        ("sep_conv_3x3", "max_pool_3x3"),
        ("skip_connect", "dil_conv_3x3"),
        ("avg_pool_3x3", "sep_conv_3x3"),
    ),
)


def uneven():
    return user_space.UserSpace({"normal": UNEVEN, "reduce": UNEVEN}, ops.DARTS)


def test_a_supernet_of_uneven_edges_is_its_discrete_networks():
    supernet_claims.one_hot_gates_are_the_discrete_network(uneven())


def test_a_slice_of_the_wrong_edge_is_noticed(monkeypatch):
    right = edge_stacks.row_of_edge
    wrong = lambda loop, op, edge, weights: max(right(loop, op, edge, weights) - 1, 0)
    monkeypatch.setattr(edge_stacks, "row_of_edge", wrong)
    with pytest.raises(ClaimFailed, match="logits differ"):
        supernet_claims.one_hot_gates_are_the_discrete_network(uneven())


def test_a_slice_refuses_an_edge_that_the_space_lacks():
    user = uneven()
    genotype, _ = next(supernet_claims.discrete(user.space))
    net = supernet_claims._supernet(user)
    supernet = jax.eval_shape(net.init, jax.random.key(0), supernet_claims._images(0))
    others = {"normal": choices.uniform(((0, 2), (1, 2)), ("noise",)), "reduce": UNEVEN}
    with pytest.raises(ValueError, match="is no candidate of the edge from 0 to 2"):
        darts_inherit.from_darts(others, genotype, (1,), supernet, supernet)


def test_an_ending_in_capitals_is_one(tmp_path):
    path = pathlib.Path(written(tmp_path)).rename(tmp_path / "MINE.PY")
    assert "mine" in user_space.load(str(path)).candidates
    assert spaces_registry.get(str(path)).genotype_space == "MINE"


@pytest.mark.parametrize("code", ["import sys\nsys.exit('no licence')", "raise GeneratorExit"])
def test_a_file_that_exits_is_refused(tmp_path, code):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(user_space.UserSpaceError, match="mine.py stops with (System|Generator)"):
        user_space.load(str(tmp_path / "mine.py"))


def test_modules_beside_a_file_are_found_and_part_of_its_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_helper_ops.py").write_text("NODES = 2\n")
    (tmp_path / "random.py").write_text("raise ValueError('the wrong one')\n")
    (tmp_path / "mine.py").write_text(
        "import random\nfrom my_helper_ops import NODES\nfrom jaxnas import space\n"
        "SPACE = space.darts(nodes=NODES)\n"
    )
    assert len(user_space.load(str(tmp_path / "mine.py")).space["normal"].edges) == 5
    before = source_digest.digest(str(tmp_path / "mine.py"))
    (tmp_path / "my_helper_ops.py").write_text("NODES = 2  # the same\n")
    assert source_digest.digest(str(tmp_path / "mine.py")) != before
    (tmp_path / "alone.py").write_text("SPACE = {}\n")
    alone = hashlib.sha256((tmp_path / "alone.py").read_bytes()).hexdigest()
    assert source_digest.digest(str(tmp_path / "alone.py")) == alone
