"""The template for AWS as plain values: a loader that knows CloudFormation's functions. Needs PyYAML alone."""

from __future__ import annotations

import yaml


class Tags(yaml.SafeLoader):
    """Reads a template of CloudFormation: what its functions name stays as text, and of `!If` the first is taken."""


Tags.add_multi_constructor("!", lambda loader, tag, node: construct(loader, tag, node))


def construct(loader: Tags, tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return f"${{{text}}}" if tag in ("Ref", "GetAtt") else text
    values = loader.construct_sequence(node, deep=True)
    return values[1] if tag == "If" else values
