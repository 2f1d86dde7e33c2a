"""The tables of docs/, made from the components: ``python tests/documentation.py`` writes them anew."""

import ast
import re
from pathlib import Path

from advcli import registry
from advcli.attacks import KINDS
from advcli.corruptions import GROUPS, PhysicalCorruption, chosen

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
_FORMULA = "the paper's formula in NumPy, step by step ({file})", "test_attack_formulas.py"
_NEAREST = "the nearest hyperplane of linear models ({file})"
_OFFICIAL = "the official AutoAttack, verdict by verdict ({file})", "benchmarks/autoattack_parity.py"
# What each attack was checked against, and the file in tests/ that does it.
CHECKED: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(("bim", "fgsm", "mifgsm", "nifgsm", "pgd", "rfgsm", "tifgsm", "vmifgsm"), (_FORMULA,)),
    **dict.fromkeys(("difgsm", "nes", "patch", "simba", "universal"), (_FORMULA,)),
    "apgd": (_OFFICIAL, ("the best points of linear models ({file})", "test_apgd.py")),
    "autoattack": (_OFFICIAL,),
    "bsr": (("`mifgsm`, which it is with one block and no rotation ({file})", "test_gradient_attacks.py"),),
    "cw": (_FORMULA, (_NEAREST, "test_minimal_attacks.py")),
    "ddn": (_FORMULA, (_NEAREST, "test_minimal_attacks.py")),
    "deepfool": ((_NEAREST, "test_minimal_attacks.py"),),
    "fab": (_OFFICIAL, (_NEAREST, "test_fab.py")),
    "fmn": (("the paper's formula in NumPy, step by step ({file})", "test_minimal_attacks.py"),),
    "geoda": ((_NEAREST, "test_decision_attacks.py"),),
    "hopskipjump": (_FORMULA, (_NEAREST, "test_black_box_attacks.py")),
    "noise": (("the best of its own draws ({file})", "test_black_box_attacks.py"),),
    "one-pixel": (("the best pixel, by trying all ({file})", "test_l0.py"),),
    "sigma-zero": (("the fewest pixels of linear models ({file})", "test_l0.py"),),
    "sparse-rs": (("the best pixels of linear models, and the published schedule ({file})", "test_l0.py"),),
    "spatial": (("the paper's grid, and models of which the worst shift is known ({file})", "test_spatial.py"),),
    "square": (_OFFICIAL, ("the published schedule and bumps ({file})", "test_square.py")),
}
_SEEN = {"gradient": "gradients", "scores": "scores", "class": "the class alone"}
_TABLE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(family: str) -> str:
    """Make the Markdown table of a family: names, options with their defaults, summaries with their papers."""
    if family == "attacks":
        return _attacks()
    if family == "corruptions":
        return _corruptions()
    rows = ["| name | options | what it is |", "|---|---|---|"]
    rows += [f"| `{name}` | {_options(family, name)} | {_cited(family, name)} |" for name in registry.names(family)]
    return "\n".join(rows) + "\n"


def _attacks() -> str:
    """Make the table of attacks: kind, what each sees of the model, balls, options, what it was checked against."""
    columns = ("name", "kind", "sees", "norms", "options", "what it is", "checked against")
    rows = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    attacks = {name: registry.build("attacks", name) for name in registry.names("attacks")}
    for name, attack in sorted(attacks.items(), key=lambda item: (KINDS.index(item[1].kind), item[0])):
        norms = ", ".join(attack.searchable_norms) if attack.bounded else "none"
        kind = attack.kind if getattr(attack, "targeted", True) else f"{attack.kind}, untargeted"
        cells = (f"`{name}`", kind, _SEEN[attack.needs], norms, _options("attacks", name), _cited("attacks", name))
        rows.append("| " + " | ".join((*cells, _checked(name))) + " |")
    return "\n".join(rows) + "\n"


def _checked(attack: str) -> str:
    return "; ".join(text.format(file=f"`tests/{file}`") for text, file in CHECKED[attack])


def _corruptions() -> str:
    """Make the table of corruptions, which belong to groups; physical ones have a parameter with levels."""
    rows = ["| name | group | parameter and options | what it is |", "|---|---|---|---|"]
    for name in chosen(",".join(("all", *GROUPS))):
        cls = registry.component("corruptions", name)
        options = _physical(name, cls) if issubclass(cls, PhysicalCorruption) else ""
        rows.append(f"| `{name}` | {cls.group} | {options} | {_cited('corruptions', name)} |")
    return "\n".join(rows) + "\n"


def _physical(name: str, cls: type[PhysicalCorruption]) -> str:
    """Write the parameter, its unit and its values for severities 1 to 5, and the options that no severity sets."""
    values = {side: ", ".join(f"{value:g}" for value in cls.levels[side]) for side in (224, 64) if side in cls.levels}
    levels = "; ".join(f"{each} at {side} px" for side, each in values.items()) if len(values) > 1 else values[224]
    others = registry.options("corruptions", name)
    del others[cls.parameter]
    return f"`{cls.parameter}` ({cls.unit}): {levels}" + "".join(f"; `{key}={value}`" for key, value in others.items())


def _options(family: str, name: str) -> str:
    lengths = registry.lengths(family, name)
    options = registry.options(family, name).items()
    return ", ".join(f"`{key}={value}`" + " (length)" * (key in lengths) for key, value in options)


def _cited(family: str, name: str) -> str:
    source = registry.component_file(family, name).read_text()
    paper = re.search(r"https://\S+[^\s,;:.)]", ast.get_docstring(ast.parse(source)) or "")
    summary = registry.summary(family, name).rstrip(".").replace("|", "\\|")
    return f"{summary} ([paper]({paper[0]}))" if paper else summary


def papers() -> str:
    """Make the table of the methods that cite a paper, family by family."""
    rows = ["| family | name | what it is |", "|---|---|---|"]
    for folder in sorted((ROOT / "docs" / "components").glob("*.md")):
        for name in registry.names(folder.stem):
            if "([paper](" in (cited := _cited(folder.stem, name)):
                rows.append(f"| {folder.stem} | `{name}` | {cited} |")
    return "\n".join(rows) + "\n"


def renewed(text: str) -> str:
    """Return a page with every table as it should be."""
    return _TABLE.sub(lambda match: match[1] + (papers() if match[2] == "papers" else table(match[2])) + match[3], text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page.read_text()))
