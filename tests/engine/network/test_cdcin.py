import pytest
import torch

from napari_s2sst.engine.config import NetworkConfig, RunConfig
from napari_s2sst.engine.network.cdcin import CDCIN, bilinear, data_consistency, parameters, place


@pytest.fixture(scope="module")
def paper() -> NetworkConfig:
    return RunConfig.preset("paper").network


def test_the_papers_network_has_exactly_its_number_of_weights(paper):
    network = CDCIN(paper, stride=2)
    assert parameters(network) == 3_310_659
    assert parameters(network.cascades[0]) == 1_103_553
    assert parameters(network.cascades[0].blocks[0]) == 134_528
    assert parameters(network.cascades[0].blocks[0].attention[0]) == 18_544


@pytest.mark.parametrize("preset", ["fast", "balanced"])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_any_map_size_gives_every_bin_of_the_dense_grid(preset, stride):
    network = CDCIN(RunConfig.preset(preset).network, stride)
    values = torch.rand(2, 1, 11, 6)
    estimates = network(values, torch.ones_like(values))
    assert len(estimates) == network.config.cascades
    assert estimates[-1].shape == (2, network.outputs, 11 * stride, 6 * stride)


def test_the_papers_network_takes_sizes_that_are_no_multiple_of_its_window(paper):
    small = paper.model_copy(update={"blocks": 1, "cascades": 1})
    values = torch.rand(1, 1, 5, 9)
    assert CDCIN(small, 2)(values, torch.ones_like(values))[-1].shape == (1, 1, 10, 18)


def test_data_consistency_puts_exactly_the_measured_bins_back():
    estimate, known = torch.rand(1, 1, 6, 6), torch.rand(1, 1, 3, 3)
    mask = place(torch.ones(1, 1, 3, 3), 2)
    result = data_consistency(estimate, place(known, 2), mask)
    assert torch.equal(result[:, :, ::2, ::2], known)
    assert torch.equal(result[:, :, 1::2], estimate[:, :, 1::2])


def test_bilinear_start_is_exact_on_a_slope_at_the_lattices_true_positions():
    slope = torch.arange(24.0).view(1, 1, 1, 24).expand(1, 1, 24, 24)
    start = bilinear(slope[:, :, ::3, ::3], torch.ones(1, 1, 8, 8), 3)
    torch.testing.assert_close(start[..., :22], slope[..., :22])


def test_bilinear_start_gives_unmeasured_bins_no_weight():
    values, measured = torch.full((1, 1, 4, 4), 5.0), torch.ones(1, 1, 4, 4)
    values[..., 2], measured[..., 2] = 0.0, 0.0
    start = bilinear(values * measured, measured, 2)
    assert start[..., :4].min() == pytest.approx(5.0, rel=1e-3)


def test_what_was_not_measured_does_not_change_the_estimate():
    network = CDCIN(RunConfig.preset("fast").network, 2).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    values, measured = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    measured[..., 3, 3] = 0
    other = values.clone()
    other[..., 3, 3] = 9.0
    assert torch.equal(network(values, measured)[-1], network(other, measured)[-1])


def test_a_window_attends_across_its_border_only_when_shifted():
    from napari_s2sst.engine.network.cdcin import WindowAttention

    x = torch.rand(1, 16, 16, 8)
    for shift, reaches in ((0, False), (4, True)):
        torch.manual_seed(0)
        attention = WindowAttention(8, 2, 8, shift)
        changed = x.clone()
        changed[0, 7, 7] += 1.0  # the last bin of the first window
        difference = (attention(changed) - attention(x)).abs().sum(-1)[0]
        assert bool(difference[8:12, 8:12].sum() > 0) is reaches
        assert difference[15, 15] == 0  # never across the border that only the cyclic shift closes


def test_recomputing_blocks_gives_the_same_gradients(paper):
    torch.manual_seed(0)
    network = CDCIN(paper.model_copy(update={"blocks": 2, "cascades": 1}), 2)
    values = torch.rand(1, 1, 8, 8)
    gradients = []
    for recompute in (False, True):
        network.cascades[0].recompute = recompute
        network.zero_grad()
        network(values, torch.ones_like(values))[-1].square().mean().backward()
        gradients.append([weight.grad.clone() for weight in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
