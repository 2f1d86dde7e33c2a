"""The terms of frameworks that evidence of one kind supports, and what it does not show.

Sources of the terms: MITRE ATLAS (atlas.mitre.org; AML.T0015 was called Evade ML Model before 2025), NIST AI 100-2
E2025, ISO/IEC TR 24029-1:2021, Regulation (EU) 2024/1689. A result supports a term; it never shows that a system
complies with a framework.
"""

from collections.abc import Mapping
from enum import StrEnum

from advcli.records import Support


class EvidenceKind(StrEnum):
    """What an accuracy is evidence of.

    ``EVASION`` is the worst case over attacks of any kind.
    """

    UNPERTURBED = "accuracy on unperturbed images"
    NATURAL = "natural corruption"
    EVASION = "evasion attack"
    WHITE_BOX = "white-box evasion attack"
    BLACK_BOX = "black-box evasion attack"
    TRANSFER = "evasion attack by transfer"


_ATLAS, _NIST = "MITRE ATLAS", "NIST AI 100-2 E2025"
_ISO, _EU = "ISO/IEC TR 24029-1:2021", "EU AI Act"

_EVADE = Support(
    _ATLAS,
    "AML.T0015",
    "Evade AI Model",
    "It does not show that other attacks, larger perturbations or attacks on the system around the model fail.",
)
_CRAFT = Support(
    _ATLAS,
    "AML.T0043",
    "Craft Adversarial Data",
    "It does not show that data crafted by another method, or by hand, is classified correctly.",
)
_WHITE = Support(
    _ATLAS,
    "AML.T0043.000",
    "Craft Adversarial Data: White-Box Optimization",
    "It does not show that a stronger attack, or one adapted to a defence of this model, fails.",
)
_BLACK = Support(
    _ATLAS,
    "AML.T0043.001",
    "Craft Adversarial Data: Black-Box Optimization",
    "It does not show that an attack with more queries, or with access to the model, fails.",
)
_TRANSFERRED = Support(
    _ATLAS,
    "AML.T0043.002",
    "Craft Adversarial Data: Black-Box Transfer",
    "It does not show that images crafted on another surrogate, or on the model itself, are classified correctly.",
)
_NIST_EVASION = Support(
    _NIST,
    "NISTAML.022",
    "Evasion",
    "It does not show resistance to poisoning, to privacy attacks, or to evasion outside this norm and radius.",
)
_NIST_BLACK = Support(
    _NIST,
    "NISTAML.025",
    "Black-box Evasion",
    "It does not show resistance to an attacker who has more queries, another surrogate or the model.",
)
_STATISTICAL = Support(
    _ISO,
    "clause 5",
    "Statistical methods",
    "It is an estimate from a sample: not a proof for all inputs, as formal methods provide, and not a field trial.",
)
_DECLARED = Support(
    _EU,
    "Art. 15(3)",
    "Accuracy, robustness and cybersecurity: declared levels of accuracy",
    "It does not show that the level is appropriate, or that it holds on other data or for the whole system.",
)
_RESILIENT = Support(
    _EU,
    "Art. 15(4)",
    "Accuracy, robustness and cybersecurity: errors, faults and inconsistencies",
    "It does not show resilience to other corruptions, to faults of the system, or to feedback loops.",
)
_ADVERSARIAL = Support(
    _EU,
    "Art. 15(5)",
    "Accuracy, robustness and cybersecurity: adversarial examples or model evasion",
    "It does not show resilience to data poisoning, model poisoning, confidentiality attacks or other attacks.",
)

_OF_ATTACKS = (_EVADE, _CRAFT)
SUPPORTED: Mapping[EvidenceKind, tuple[Support, ...]] = {
    EvidenceKind.UNPERTURBED: (_STATISTICAL, _DECLARED),
    EvidenceKind.NATURAL: (_STATISTICAL, _RESILIENT),
    EvidenceKind.EVASION: (*_OF_ATTACKS, _NIST_EVASION, _STATISTICAL, _ADVERSARIAL),
    EvidenceKind.WHITE_BOX: (*_OF_ATTACKS, _WHITE, _NIST_EVASION, _STATISTICAL, _ADVERSARIAL),
    EvidenceKind.BLACK_BOX: (*_OF_ATTACKS, _BLACK, _NIST_EVASION, _NIST_BLACK, _STATISTICAL, _ADVERSARIAL),
    EvidenceKind.TRANSFER: (*_OF_ATTACKS, _TRANSFERRED, _NIST_EVASION, _NIST_BLACK, _STATISTICAL, _ADVERSARIAL),
}
