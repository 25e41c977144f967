"""The PyTorch peer is the original: golden values, closed counts, rules that agree."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the peer needs PyTorch: pip install 'jaxnas[bench]'")

from tests import paths
from tools.peer import darts_torch, nasbench201_torch, pc_darts_torch, search_torch

GOLDEN = paths.SHARED / "golden"


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on arrays this small wait for each other, without end on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def golden(name: str) -> dict:
    path = GOLDEN / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the golden values are not beside this checkout: {path}")
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file if file[key].dtype.kind != "U"}


def under(values: dict, prefix: str) -> dict:
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}


def build(values: dict, peer=darts_torch) -> search_torch.Searcher:
    params = under(values, "param/")
    features = params["cells.0.preprocess0.op.1.weight"].shape[0]
    cells = len({name.split(".")[1] for name in params if name.startswith("cells.")})
    network = peer.supernet(features, cells=cells).double()
    missing, unexpected = network.load_state_dict(params, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    arch = under(values, "arch/")
    return search_torch.searcher(network, tuple(arch[name] for name in sorted(arch)))


def start(seed: int) -> darts_torch.SearchNetwork:
    """The weights before the first of five steps, drawn again from their seed.

    In those files `param` and `arch` hold the values after the last step.
    """
    torch.manual_seed(seed)
    return darts_torch.supernet(features=4, cells=3).double()


def batch(values: dict, half: str, index=...) -> search_torch.Batch:
    return search_torch.Batch(values[f"x_{half}"][index], values[f"y_{half}"][index])


def relative_error(ours, theirs) -> float:
    return float((ours.detach() - theirs.detach()).norm() / theirs.detach().norm())


def count(network) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (darts_torch.supernet, 1_930_618),
        (nasbench201_torch.supernet, 1_692_826),
        (lambda: darts_torch.supernet(classes=100), 1_953_748),
        (lambda: darts_torch.supernet(candidates=("skip_connect", "sep_conv_3x3")), 665_466),
    ],
    ids=["darts", "nasbench201", "darts-100-classes", "robustdarts-s2"],
)
def test_has_the_published_number_of_weights(network, expected):
    weights = count(network())
    print(f"{weights:,} weights")
    assert weights == expected


def test_refuses_an_unknown_candidate():
    with pytest.raises(ValueError, match="conv_9x9"):
        darts_torch.supernet(candidates=("none", "conv_9x9"))


@pytest.mark.parametrize(
    ("file", "peer"), [("darts_supernet", darts_torch), ("pc_darts_supernet", pc_darts_torch)]
)
def test_gives_the_original_logits_and_gradients(file, peer):
    values = golden(file)
    state = build(values, peer)
    valid = batch(values, "valid")
    assert relative_error(state.network(valid.inputs, *state.arch), values["valid_logits"]) < 1e-9
    value = search_torch.loss(state.network, state.arch, valid)
    assert relative_error(value, values["valid_loss"]) < 1e-9
    search_torch.first_order(state, batch(values, "train"), valid)
    for leaf, name in zip(state.arch, sorted(under(values, "arch/")), strict=True):
        assert relative_error(leaf.grad, values[f"valid_grad_arch/{name}"]) < 1e-9
    for name, weight in state.network.named_parameters():
        assert relative_error(weight.grad, values[f"valid_grad_param/{name}"]) < 1e-9


@pytest.mark.parametrize("rule", [search_torch.exact, search_torch.finite_difference])
def test_gives_the_original_hypergradient(rule):
    values = golden("darts_supernet")
    state = build(values)
    before = [weight.detach().clone() for weight in state.network.parameters()]
    for name, weight in state.network.named_parameters():
        state.weight_opt.state[weight]["momentum_buffer"] = values[f"momentum/{name}"]
    rule(state, batch(values, "train"), batch(values, "valid"))
    for leaf, name in zip(state.arch, ("alphas_normal", "alphas_reduce"), strict=True):
        assert relative_error(leaf.grad, values[f"hypergrad_{rule.__name__}/{name}"]) < 1e-6
    for weight, old in zip(state.network.parameters(), before, strict=True):
        torch.testing.assert_close(weight.detach(), old, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("file", "rule", "seed"),
    [
        ("darts_first_order_5_steps", search_torch.first_order, 3),
        ("darts_unrolled_5_steps", search_torch.exact, 4),
    ],
)
def test_searches_like_the_original_for_five_steps(file, rule, seed):
    values = golden(file)
    torch.manual_seed(seed + 1)
    arch = tuple(0.7 * torch.randn(14, 8, dtype=torch.float64) for _ in range(2))
    state = search_torch.searcher(start(seed), arch)
    for index in range(5):
        train, valid = batch(values, "train", index), batch(values, "valid", index)
        value = search_torch.step(state, rule, train, valid)
        assert relative_error(value, values["train_loss"][index]) < 1e-9
        for leaf, name in zip(state.arch, ("alphas_normal", "alphas_reduce"), strict=True):
            assert relative_error(leaf, values[f"arch_after/{name}"][index]) < 1e-9
    for name, weight in state.network.named_parameters():
        assert relative_error(weight, values[f"param_after/{name}"]) < 1e-9


def test_exact_and_finite_difference_agree_on_nasbench201():
    torch.manual_seed(0)
    network = nasbench201_torch.supernet(features=4, cells=1).double()
    # A finite difference across the kinks of ReLU has no small error.
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.Softplus())
    arch = tuple(torch.randn(shape).double() for shape in network.arch_shapes)
    state = search_torch.searcher(network, arch)
    train, valid = (
        search_torch.Batch(torch.randn(4, 3, 8, 8).double(), torch.arange(4)) for _ in range(2)
    )
    grads = {}
    for rule in (search_torch.exact, search_torch.finite_difference):
        state.arch_opt.zero_grad(set_to_none=False)
        rule(state, train, valid)
        grads[rule.__name__] = state.arch[0].grad.clone()
    # Both less the part without look-ahead's second term, so that only that term is compared.
    ahead = dict(zip(*looked_ahead(state, train), strict=True))
    logits = torch.func.functional_call(network, ahead, (valid.inputs, *state.arch))
    outer = torch.nn.functional.cross_entropy(logits, valid.labels)
    (direct,) = torch.autograd.grad(outer, state.arch)
    correction = grads["exact"] - direct
    assert relative_error(grads["finite_difference"] - direct, correction) < 1e-2


def looked_ahead(state: search_torch.Searcher, train: search_torch.Batch) -> tuple:
    """Names and values of the weights after one plain step of SGD with decay."""
    names, weights = zip(*state.network.named_parameters(), strict=True)
    value = search_torch.loss(state.network, state.arch, train)
    grads = torch.autograd.grad(value, weights)
    moved = (w - 0.025 * (g + 3e-4 * w) for w, g in zip(weights, grads, strict=True))
    return names, tuple(weight.detach() for weight in moved)
