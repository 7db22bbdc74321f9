"""CloudFormation templates as data: read from YAML or JSON, and resolved as far as names need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Sub x` is `{"Fn::Sub": x}`."""


def load(path: Path | str) -> dict[str, Any]:
    """The template in a file, its short intrinsic functions written out."""
    return parse(Path(path).read_text())


def parse(text: str) -> dict[str, Any]:
    """The template in a text, YAML or JSON."""
    document: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    return document


def effective(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """The template without the resources whose condition does not hold under the parameters."""
    values: dict[str, Any] = {}
    for name, parameter in template.get("Parameters", {}).items():
        text = str(parameters.get(name, parameter.get("Default", "")))
        values[name] = text.split(",") if parameter["Type"] == "CommaDelimitedList" else text
    conditions = template.get("Conditions", {})
    resources = {
        name: resource
        for name, resource in template.get("Resources", {}).items()
        if "Condition" not in resource or _holds({"Condition": resource["Condition"]}, conditions, values)
    }
    return {**template, "Resources": resources}


def _holds(condition: Mapping[str, Any], conditions: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """condition = Condition | Fn::Not | Fn::And | Fn::Or | Fn::Equals, as far as parameters decide."""
    [(function, argument)] = condition.items()
    if function == "Condition":
        return _holds(conditions[argument], conditions, values)
    if function == "Fn::Equals":
        one, other = (str(resolve(side, values)) for side in argument)
        return one == other
    parts = [_holds(part, conditions, values) for part in argument]
    return {"Fn::Not": not parts[0], "Fn::And": all(parts), "Fn::Or": any(parts)}[function]


def _written_out(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = node.value
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _written_out)

_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def resolve(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with Ref, Sub, GetAtt and Join replaced from `names`; what names do not hold stays as it is.

    `names` has parameters and pseudo parameters by name, attributes as "Resource.Attribute".
    """
    if isinstance(value, list):
        return [resolve(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(function, argument)] = value.items()
        if function == "Ref" and argument in names:
            return names[argument]
        if function == "Fn::GetAtt" and ".".join(argument) in names:
            return names[".".join(argument)]
        if function == "Fn::Sub" and isinstance(argument, str):
            return _VARIABLE.sub(lambda found: names.get(found[1], found[0]), argument)
        if function == "Fn::Join":
            separator, parts = argument[0], resolve(argument[1], names)
            if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
                return separator.join(parts)
    return {key: resolve(item, names) for key, item in value.items()}
