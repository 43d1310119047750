"""Estimates before a run: derived from the networks, growing with the work."""

import pytest

from lib import backbones, data, estimate, models, parameters
from lib.study import COMPANIONS, SLUGS


@pytest.fixture(scope="module")
def digits():
    return data.open_source("digits")


@pytest.mark.parametrize("size", [32, 48, 96])
def test_vgg16s_blocks_cost_what_the_network_costs(size):
    model = backbones.build("VGG16", image_size=size)
    blocks = estimate._vgg16_macs(size)
    assert len(blocks) == 5
    assert sum(blocks) == models.forward_macs(model)


@pytest.mark.parametrize("slug", [*SLUGS, *COMPANIONS])
def test_more_work_takes_longer(slug, digits):
    def seconds(profile, flops):
        return estimate.job_seconds(slug, parameters.of_profile(profile, slug), digits, flops)

    quick, study = seconds("quick", 1e11), seconds("study", 1e11)
    if slug == "imagenet_prediction":  # the same few pictures in every profile
        assert quick == study > 0
        return
    assert study > quick > estimate.NOTEBOOK_SECONDS
    assert seconds("study", 2e11) < study
