"""Records: what tasks yield and ``--json`` prints."""

from advcli.records.attacking import Attacked, Crafted, MemberVerdict
from advcli.records.base import Failed, Prediction, Progress, Queried, Record
from advcli.records.benchmarking import (
    Calibration,
    Certified,
    ClassScore,
    Compared,
    Confused,
    CorruptionError,
    Exported,
    Group,
    Score,
    SliceScore,
    Transferred,
)
from advcli.records.explaining import Explained, Flipped, Layer, Shift, Shifted, Trusted
from advcli.records.measuring import MeasuredModel, Measurement, Protocol, Smoothed, Verdicts
from advcli.records.requirements import Change, Checked, Gate, Requirement, Support, Verified
from advcli.records.sweeping import Swept, Tolerance
from advcli.records.training import Averaged, Epoch, Mixed, Planned, Temperature, Trained

__all__ = [
    "Attacked",
    "Averaged",
    "Calibration",
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
    "MeasuredModel",
    "Measurement",
    "MemberVerdict",
    "Mixed",
    "Planned",
    "Prediction",
    "Progress",
    "Protocol",
    "Queried",
    "Record",
    "Requirement",
    "Score",
    "Shift",
    "Shifted",
    "SliceScore",
    "Smoothed",
    "Support",
    "Swept",
    "Temperature",
    "Tolerance",
    "Trained",
    "Transferred",
    "Trusted",
    "Verdicts",
    "Verified",
]
