"""Records: what tasks yield and ``--json`` prints."""

from advcli.records.attacking import Attacked, Crafted
from advcli.records.base import Failed, Prediction, Progress, Queried, Record
from advcli.records.benchmarking import (
    Certified,
    Change,
    Checked,
    ClassScore,
    Compared,
    Confused,
    CorruptionError,
    Exported,
    Gate,
    Group,
    Measurement,
    Protocol,
    Score,
    Smoothed,
    Transferred,
    Verdicts,
)
from advcli.records.explaining import Explained, Flipped, Layer, Shift, Shifted, Trusted
from advcli.records.training import Epoch, Planned, Trained

__all__ = [
    "Attacked",
    "Certified",
    "Change",
    "Checked",
    "ClassScore",
    "Compared",
    "Confused",
    "CorruptionError",
    "Crafted",
    "Epoch",
    "Explained",
    "Exported",
    "Failed",
    "Flipped",
    "Gate",
    "Group",
    "Layer",
    "Measurement",
    "Planned",
    "Prediction",
    "Progress",
    "Protocol",
    "Queried",
    "Record",
    "Score",
    "Shift",
    "Shifted",
    "Smoothed",
    "Trained",
    "Transferred",
    "Trusted",
    "Verdicts",
]
