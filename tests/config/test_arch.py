"""Architectures as people write them."""

import pytest

from autodecoder.config import (
    Arch,
    DecoderConfig,
    arch_kind,
    arch_widths,
    format_arch,
    parse_arch,
    study_config,
    to_dict,
)
from autodecoder.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "arch", "widths"),
    [
        ("500-500", (500, 500), (500, 500)),
        ("conv:64-32", Arch("conv", (64, 32)), (64, 32)),
        ("resconv:64", Arch("resconv", (64,)), (64,)),
        ("conv:256/64-32", Arch("conv", (64, 32), (256,)), (256, 64, 32)),
        ("conv:256-128/64", Arch("conv", (64,), (256, 128)), (256, 128, 64)),
    ],
)
def test_they_are_read_and_written(text: str, arch: object, widths: tuple[int, ...]) -> None:
    found = parse_arch(f" {text} ")
    assert found == arch
    assert format_arch(found) == text
    assert arch_widths(found) == widths
    assert arch_kind(found) == (arch.kind if isinstance(arch, Arch) else "dense")
    assert DecoderConfig(arch=text).arch == arch
    config = study_config({"decoder": {"arch": text}})
    assert config.decoder.arch == arch
    assert study_config(to_dict(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cnv:64", "the kind of arch must be one of dense, conv, resconv, got 'cnv'; did you mean"),
        ("conv:", "joined by single hyphens, for example conv:64-32-16 or conv:256/64"),
        ("conv:/64", "got 'conv:/64'"),
        ("conv:64/", "got 'conv:64/'"),
        ("64/32", "for example 500-500, got '64/32'"),
        ("conv:64--32", "got 'conv:64--32'"),
        ("conv:a:64", "the kind of arch must be one of"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_arch(text)


def test_groups_must_divide_every_width() -> None:
    with pytest.raises(
        ConfigError, match=r"norm_groups must divide each width .* 8 .* width of 20"
    ):
        DecoderConfig(arch="conv:16/64-20", norm="group")
    assert DecoderConfig(arch="conv:64-20", norm="group", norm_groups=4).normalisation == "group"


def test_one_word_on_normalisation_is_enough() -> None:
    assert study_config({"recipe": "original"}).decoder.normalisation == "batch"
    without = study_config({"recipe": "original", "decoder": {"norm": "none"}}).decoder
    assert without.normalisation == "none"
    assert study_config({"decoder": {"norm": "batch"}}).decoder.batch_norm
    assert DecoderConfig(norm="batch").batch_norm
    with pytest.raises(ConfigError, match="norm must be batch with batch_norm, got group"):
        DecoderConfig(batch_norm=True, norm="group")
    with pytest.raises(ConfigError, match="norm must not be batch without batch_norm"):
        study_config({"decoder": {"norm": "batch", "batch_norm": False}})


def test_what_says_the_same_is_not_searched_twice() -> None:
    rate = {"learning_rate": [1e-2]}
    both = {"norm": ["none", "batch"], "batch_norm": [True, False]}
    with pytest.raises(ConfigError, match="norm and batch_norm must not be searched both"):
        study_config({"search": {"space": rate | both}})
    with pytest.raises(ConfigError, match=r"where norm is given \(none\)"):
        study_config(
            {"decoder": {"norm": "none"}, "search": {"space": rate | {"batch_norm": [True]}}}
        )
    space = rate | {"norm": ["none", "group", "batch"]}
    config = study_config({"recipe": "original", "search": {"space": space}})
    found = [config.parts(values)[0].normalisation for values in config.search.cells()]
    assert found == ["none", "group", "batch"]
