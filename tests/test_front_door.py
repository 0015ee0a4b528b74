"""The package's front door: everything it names is there."""

import autodecoder


def test_every_public_name_can_be_had() -> None:
    for name in autodecoder.__all__:
        assert getattr(autodecoder, name) is not None
    assert set(autodecoder.__all__) == {*autodecoder._HOME_OF, "__version__"}
    assert set(autodecoder.__all__) <= set(dir(autodecoder))
