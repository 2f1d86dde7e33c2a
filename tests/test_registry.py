from dataclasses import asdict
from pathlib import Path

import pytest

from advcli import registry
from advcli.errors import UsageError


def test_names_come_from_files() -> None:
    assert {"fgsm", "pgd"} <= set(registry.names("attacks"))
    assert "pgd-at" in registry.names("objectives")
    assert not [name for family in ("backbones", "explainers") for name in registry.names(family) if name[0] in "-_"]


def test_a_spec_sets_options_of_their_types() -> None:
    built = registry.build("attacks", "pgd:steps=7,step=2/255,random-start=no")
    assert asdict(built).items() >= {"steps": 7, "step": 2 / 255, "random_start": False, "schedule": "constant"}.items()


def test_underscores_and_hyphens_are_one() -> None:
    assert type(registry.build("objectives", "pgd_at")) is type(registry.build("objectives", "PGD-AT"))
    assert registry.canonical("pgd_at:x=1") == "pgd-at"


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("pdg", "unknown attack 'pdg'", "did you mean 'pgd'?"),
        ("pgd:stps=3", "'pgd' has no option 'stps'", "did you mean 'steps'?"),
        ("pgd:steps=many", "not a whole number: 'many'", ""),
        ("pgd:steps=0", "steps is less than one: 0", ""),
        ("pgd:step=big", "not a number: 'big'", "0.03 or 8/255"),
        ("pgd:step=1/0", "not a number: '1/0'", "0.03 or 8/255"),
        ("pgd:random_start=maybe", "neither true nor false", ""),
        ("pgd:steps", "has no value", "steps=VALUE"),
        ("pgd:steps=1,steps=2", "given twice", ""),
        ("fgsm:steps=1", "'fgsm' has no option 'steps'", "it has no options"),
        ("", "unknown attack ''", "choose from"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(spec: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.build("attacks", spec)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_options_are_read_without_importing() -> None:
    assert registry.options("attacks", "deepfool") == {"steps": "100", "candidates": "9", "overshoot": "0.02"}
    assert registry.options("objectives", "pgd-at") == {}


def test_a_file_may_have_several_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "other.py").write_text('"""Another network."""\nCOMPONENT = Other\n')
    (tmp_path / "backbones" / "sized.py").write_text(
        '''"""A network in two sizes."""
@dataclass
class Sized:
    dropout: float
    stride: int = 2
    size: ClassVar[str]
@dataclass
class Small(Sized):
    """The small size."""
    dropout: float = 0.1
    size: ClassVar[str] = "s"
@dataclass
class Large(Sized):
    """The large size."""
    dropout: float = 0.4
COMPONENTS = {"sized-s": Small, "a-sized-l": Large}
'''
    )
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    assert registry.names("backbones") == ("a-sized-l", "other", "sized-s")
    found = [registry.summary("backbones", name) for name in registry.names("backbones")]
    assert found == ["The large size.", "Another network.", "The small size."]
    assert registry.options("backbones", "sized-s") == {"dropout": "0.1", "stride": "2"}
    assert registry.options("backbones", "a-sized-l") == {"dropout": "0.4", "stride": "2"}


def test_the_sizes_of_a_network_are_components_of_their_own() -> None:
    sizes = {name for name in registry.names("backbones") if name.startswith("efficientnet")}
    assert sizes == {"efficientnetb2", "efficientnetb4", "efficientnetb6"}
    assert {registry.component_file("backbones", name).name for name in sizes} == {"efficientnet.py"}
    assert asdict(registry.build("backbones", "efficientnetb4:bn_momentum=0.5")) == {
        "dropout": 0.4,
        "stem_stride": 0,
        "bn_momentum": 0.5,
    }
