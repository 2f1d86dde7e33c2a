"""The options of ``advcli train``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from advcli.errors import UsageError
from advcli.options import LEARNING, OUTPUT, THREAT, WHAT, FieldDefault, option
from advcli.parsing import read_radius
from advcli.tasks.request import (
    DataOptions,
    FileOptions,
    Validated,
    WorkOptions,
    attack_option,
    batch_option,
    data_option,
    memory_option,
    out_option,
    overwrite_option,
)
from advcli.threat.threat import Norm

Unfreeze = Literal["plateau", "all", "head"]
BatchNorm = Literal["inference", "frozen", "training"]
NewHead = Literal["fit", "steps"]
Guard = Literal["warn", "rollback", "stop"]
Select = Literal["clean", "robust", "both"]

# The value that selects the data set's default augmentations.
AUTO = "auto"


def _read_augmentations(text: str) -> tuple[str, ...]:
    from advcli.augmentations import read

    return (AUTO,) if text.strip().lower() == AUTO else read(text, ())


def _read_norms(norms: Sequence[Norm]) -> Norm | tuple[Norm, ...]:
    return norms[0] if len(norms) == 1 else tuple(norms)


def _read_eps(texts: Sequence[str]) -> float | tuple[str, ...]:
    named = any("=" in text for text in texts)
    if len(texts) > 1 and not named:
        raise UsageError(f"--eps has several radii: {' and '.join(texts)}", "give one, or one a norm: --eps l2=0.5")
    return tuple(texts) if named else read_radius(texts[0])


def _component(family: str, default: object, *flags: str, **known: Any) -> FieldDefault:
    return option(default, *flags, metavar="SPEC", family=family, **known)


@dataclass(frozen=True, kw_only=True)
class Request(DataOptions, FileOptions, WorkOptions):
    """The options that determine the results of a run; ``run.json`` records them by the same names.

    An option that is None depends on other options or on the data; ``advcli.tasks.train.recipe`` fills it in.

    Args:
        model: start from your own model, in place of --backbone: a run folder, a .keras or .h5 file.
        edge: size of the model's square input in pixels.
        backbone: the network and its options.
        weights: the initial weights of the backbone: none, imagenet or a file.
        recipe: a set of options that were measured together; options that you give override it.
        objective: the loss that training minimises.
        attack: an attack and its options, such as pgd:steps=40.
        norm: the norm perturbations are measured in; given several times, each step trains in one of them, more often
            in the one with the higher robust error so far (E-AT).
        eps: the radius of perturbations, in units of [0, 1]: 0.03 or 8/255; for one of several norms: l1=12.
        modifier: a term or rule added to the objective; may be given several times.
        augment: random changes of the training images: auto (what suits the data), article (all six of the article),
            or a list.
        unfreeze: which layers are trained: all, the head only, or the head first and one more part at each plateau.
        batchnorm: in training passes: inference keeps BatchNorm's statistics, frozen its scale and shift too, training
            moves them.
        new_head: how a new head begins: fit, by logistic regression on the features of the frozen network, in the first
            epoch, or before it with --unfreeze all; or steps of the optimizer.
        stages: parts that 'plateau' unfreezes one by one.
        patience: epochs without a lower training loss before the next part is unfrozen.
        epochs: passes over the training images.
        batch: images in a step.
        optimizer: sgd, adamw or scaled-adam.
        learning_rate: the highest rate.
        schedule: the learning rate schedule after the warm-up.
        warmup: epochs in which the rate rises from zero.
        momentum: momentum of sgd, in Nesterov's form.
        weight_decay: weight decay of kernels: coupled with sgd, decoupled with adamw.
        clip_norm: the largest gradient norm; 0: no limit.
        ema: decay of an average of the weights over the steps, such as 0.995, which is validated and saved too.
        eps_warmup: epochs in which eps grows from zero.
        adv_start_epoch: the first epoch of the objective; those before it are clean.
        calibrate: at the end, divide the logits of model.keras by the temperature that fits the validation images best:
            predicted classes do not change, confidences do.
        validation: the fraction of the training images that is used to select the best epoch.
        class_weights: balanced: the loss of an image counts N / (K n) times, with n of all N images in its class of K.
        sampler: balanced: each epoch has equally many images of each class, those of small classes several times.
        robust_images: how many validation images PGD-10 attacks after each epoch.
        guard: on an alarm: warn; roll back an epoch and halve the rate, where that can help; or stop.
        strategy: devices: one, all of this machine, those of the workers in TF_CONFIG, or as many as there are.
        twin: also train without a defence, on the same data in the same order, and compare both on test images.
        against: compare with this run on test images at the end.
        amp: on a GPU: train in float16, with weights and attacks in float32.
        deterministic: only operations that give the same bits every time.
    """

    data: str = data_option("", shown="digits; with --model the data of the run")
    model: str | None = option(None, "--model", "-m", panel=WHAT, metavar="RUN|FILE", completes="models")
    edge: int | None = option(
        None, "--image-size", panel=WHAT, metavar="PIXELS", alias="--edge", min=8, shown="that of the data or the model"
    )
    backbone: str = _component("backbones", "mobilenetv2", "--backbone", "-b", panel=WHAT)
    weights: str = option("none", panel=WHAT, metavar="FILE")
    recipe: str | None = option(
        None, panel=WHAT, metavar="NAME", family="recipes", shown="all-round with pretrained weights and no --objective"
    )
    objective: str = _component("objectives", "nsl", panel=WHAT)
    attack: str = attack_option("pgd:steps=7")
    norm: Norm | tuple[Norm, ...] | None = option(
        None, panel=THREAT, parse=_read_norms, several=True, shown="linf, or those of --eps"
    )
    eps: float | tuple[str, ...] | None = option(
        None,
        panel=THREAT,
        metavar="RADIUS",
        parse=_read_eps,
        several=True,
        shown="what is usual for the data; in l2 0.5, in l1 12",
    )
    modifier: tuple[str, ...] = _component("modifiers", (), panel=WHAT)
    augment: tuple[str, ...] = option(
        (AUTO,),
        panel=WHAT,
        metavar="SPEC,...",
        family="augmentations",
        parse=_read_augmentations,
        shown=AUTO,
    )
    unfreeze: Unfreeze | None = option(
        None, panel=LEARNING, shown="plateau with pretrained weights or a new head, else all"
    )
    batchnorm: BatchNorm | None = option(
        None, panel=LEARNING, shown="inference with --model or pretrained weights; training from scratch and with sgd"
    )
    new_head: NewHead | None = option(None, panel=LEARNING, shown="fit, on several machines steps")
    stages: int | None = option(None, panel=LEARNING, metavar="N", min=2, shown="2: the head, then all")
    patience: int = option(1, panel=LEARNING, metavar="EPOCHS", min=1)
    epochs: int = option(6, "--epochs", "-e", panel=LEARNING, min=1)
    batch: int = batch_option(32, panel=LEARNING)
    optimizer: str | None = option(
        None,
        panel=LEARNING,
        metavar="NAME",
        shown="scaled-adam with pretrained weights or --model, else sgd",
    )
    learning_rate: float | None = option(
        None, panel=LEARNING, min=0, shown="scaled-adam 0.001; sgd 0.05, pretrained 0.01; adamw a fiftieth of that"
    )
    schedule: str = _component("schedules", "cosine", panel=LEARNING)
    warmup: float | None = option(
        None,
        panel=LEARNING,
        metavar="EPOCHS",
        min=0,
        shown="1, at most a tenth of the run; 0 if the schedule itself rises",
    )
    momentum: float = option(0.9, panel=LEARNING, min=0, max=1)
    weight_decay: float = option(0.0, panel=LEARNING, min=0)
    clip_norm: float | None = option(None, panel=LEARNING, min=0, shown="3 with sgd from random weights, else 0")
    ema: float = option(0.0, panel=LEARNING, metavar="DECAY", min=0, max=0.99999)
    eps_warmup: float = option(0.0, panel=THREAT, metavar="EPOCHS", min=0)
    adv_start_epoch: int = option(1, panel=THREAT, metavar="EPOCH", min=1)
    calibrate: bool = option(False, panel=LEARNING)
    validation: float = option(0.15, min=0.01, max=0.9)
    class_weights: Literal["none", "balanced"] = option("none", panel=LEARNING)
    sampler: Literal["shuffle", "balanced"] = option("shuffle", panel=LEARNING)
    robust_images: int = option(256, metavar="N", min=1)
    guard: Guard | None = option(None, shown="rollback with --unfreeze plateau, else warn")
    strategy: Literal["auto", "one", "mirrored", "multiworker"] = option("auto")
    twin: bool = option(False)
    against: str | None = option(None, metavar="RUN", parse=lambda text: str(Path(text)))
    amp: bool = option(False)
    deterministic: bool = option(False)

    @property
    def pretrained(self) -> bool:
        """Whether the network begins with weights that were trained before."""
        return self.model is not None or self.weights != "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        from advcli.tasks.train.validate import check

        check(self)


@dataclass(frozen=True, kw_only=True)
class Execution(Validated):
    """The options that do not change the results of a run.

    Args:
        memory: decoded images that take more are kept on disk.
        plan: only time a few steps and estimate the cost of the run; nothing is written.
        average: average the weights of the RUNs, of one network and the same data, and save the best mix.
        runs: with --average: two or more run folders or their .keras files.
        select: with --average: the validation accuracy that selects the best mix, or the sum of both.
        resume: continue a run from its checkpoint; its options are read from the run.
        out: the run's folder.
        tensorboard: write event files into the run's folder (needs advcli[tensorboard]).
        overwrite: replace existing outputs.
    """

    memory: float | None = memory_option()
    plan: bool = option(False)
    average: bool = option(False)
    runs: tuple[str, ...] = option((), metavar="RUN...", argument=True, completes="runs")
    select: Select | None = option(None, shown="robust if a run was trained to be robust, else clean")
    resume: Path | None = option(None, metavar="RUN", completes="runs")
    out: Path | None = out_option(None, metavar="DIR", shown="a folder in runs/")
    tensorboard: bool = option(False, panel=OUTPUT)
    overwrite: bool = overwrite_option()
