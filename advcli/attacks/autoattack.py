"""AutoAttack: an ensemble of four attacks without parameters to tune, the standard evaluation of robustness.

Croce and Hein 2020, https://arxiv.org/abs/2003.01690; for l1 their paper of 2021, https://arxiv.org/abs/2103.01208.
The members are those of their code, with one difference: ``plus`` runs the targeted form of FAB, because the untargeted
form needs a gradient for every class.
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Suite
from advcli.errors import UsageError, nearest
from advcli.threat.threat import Norm

VERSIONS = {
    "standard": ("apgd:loss=ce", "apgd:loss=dlr-targeted", "fab:stop=true", "square"),
    "plus": (
        "apgd:loss=ce,restarts=5",
        "apgd:loss=dlr,restarts=5",
        "fab:restarts=5,stop=true",
        "square",
        "apgd:loss=dlr-targeted",
    ),
    "rand": ("apgd:loss=ce", "apgd:loss=dlr"),
    "fast": (
        "apgd:loss=ce",
        "apgd:loss=pm-targeted,order=nearest,targets=3",
        "square:queries=2100",
    ),
}
# In l1 the standard search with gradients has more starts and fewer targets, and comes from larger balls.
STANDARD_IN_L1 = (
    "apgd:loss=ce,restarts=5,larger_eps=true",
    "apgd:loss=dlr-targeted,targets=5,larger_eps=true",
    *VERSIONS["standard"][2:],
)
EOT = {"standard": 1, "plus": 1, "rand": 20, "fast": 1}


@dataclass(frozen=True)
class AutoAttack(Suite):
    """Each member attacks the images that no earlier member fooled.

    Args:
        version: standard; plus, with restarts and one additional loss; rand, for randomised models; fast, a search of
            advcli's own with a third of the passes, which is not AutoAttack and is reported as "fast search".
        eot: number of gradients that apgd averages at each point; 0 means the version's default: 20 for rand, else 1.
    """

    kind: ClassVar[str] = "suite"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    # What is not the published attack must not be reported as it.
    own_names: ClassVar[dict[str, str]] = {"version=fast": "fast search"}

    version: str = "standard"
    eot: int = 0

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise UsageError(f"autoattack has no version '{self.version}'", nearest(self.version, VERSIONS))
        if self.eot < 0:
            raise UsageError(f"eot is negative: {self.eot}", "give 0 for the version's default")

    def members_in(self, norm: Norm) -> tuple[str, ...]:
        """Return the specs of the members for balls of a norm, in order."""
        specs = STANDARD_IN_L1 if self.version == "standard" and norm is Norm.L1 else VERSIONS[self.version]
        eot = self.eot or EOT[self.version]
        return tuple(f"{spec},eot={eot}" if eot > 1 and spec.startswith("apgd:") else spec for spec in specs)

    def title(self, classes: int) -> str:
        """Return the name of the variant for a number of classes; from ten classes on it is the published attack."""
        if self.version == "fast":
            options = f"version=fast,eot={self.eot}" if self.eot > 1 else "version=fast"
            return f"{self.own_names['version=fast']} (autoattack:{options})"
        title = f"AutoAttack {self.version}"
        if self.eot not in (0, EOT[self.version]):
            title += f" with eot {self.eot} for {EOT[self.version]}"
        if classes >= 10 or (self.version == "rand" and classes >= 3):
            return title
        change = f"{classes - 1} targets" if classes > 2 else "1 target"
        if classes <= 3:
            change += f", margin for {'dlr-targeted' if classes == 3 else 'dlr'}"
        return f"{title}, {classes}-class variant ({change})"


COMPONENT = AutoAttack
