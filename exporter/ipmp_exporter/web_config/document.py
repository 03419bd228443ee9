"""Strict reading of YAML: every key is known and stands once, every value has its type.

The nodes are read instead of what they construct, because construction forgets what is written
twice and what a scalar looked like: a password hash or a header that looks like a number is text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml

T = TypeVar("T")

_PREFIX = "tag:yaml.org,2002:"

Node = yaml.nodes.Node


class WebConfigError(Exception):
    """The web configuration cannot be used; one sentence says why."""


def parse(text: str) -> Node | None:
    """Return the root of the first document, None when there is nothing in it."""
    loader = yaml.SafeLoader(text)
    try:
        if not loader.check_node():
            return None
        return loader.get_node()
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or "it is nested too deeply"
        raise WebConfigError(f"it is not YAML: {problem}{where}") from error
    finally:
        loader.dispose()


def mapping(node: Node | None, what: str) -> dict[str, Node]:
    """Return the members of a mapping; nothing, or null, is an empty one."""
    if node is None or _is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, what, "a mapping")
    found: dict[str, Node] = {}
    for key_node, value in node.value:
        key = text(key_node, f"a key of {what}")
        if key in found:
            raise _at(key_node, f"{key} stands twice in {what}")
        found[key] = value
    return found


def known(members: Mapping[str, Node], keys: Mapping[str, T], what: str) -> None:
    """Refuse a key that nobody knows."""
    for key, node in members.items():
        if key not in keys:
            raise _at(node, f"{what} has no key {key!r}; there are {', '.join(keys)}")


def text(node: Node, what: str) -> str:
    """Return a scalar as it was written; null is empty."""
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, what, "text")
    return "" if _is_null(node) else str(node.value)


def boolean(node: Node, what: str) -> bool:
    """Return true or false, in the words of YAML 1.1."""
    if not isinstance(node, yaml.ScalarNode) or node.tag not in (
        f"{_PREFIX}bool",
        f"{_PREFIX}null",
    ):
        raise _wrong(node, what, "true or false")
    return node.value.lower() in ("yes", "true", "on")


def integer(node: Node, what: str) -> int:
    """Return a whole number, 0 or more."""
    if not isinstance(node, yaml.ScalarNode) or not node.value.isdecimal():
        raise _wrong(node, what, "a whole number")
    return int(node.value)


def texts(node: Node, what: str) -> tuple[str, ...]:
    """Return a list of texts."""
    if _is_null(node):
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(node, what, "a list")
    return tuple(text(member, f"a member of {what}") for member in node.value)


def each(node: Node, what: str, allowed: Mapping[str, T]) -> tuple[T, ...]:
    """Return what the words of a list stand for."""
    return tuple(_choice(word, node, what, allowed) for word in texts(node, what))


def choice(allowed: Mapping[str, T]) -> Callable[[Node, str], T]:
    """Return a reader of one word out of `allowed`."""
    return lambda node, what: _choice(text(node, what), node, what, allowed)


def _choice(word: str, node: Node, what: str, allowed: Mapping[str, T]) -> T:
    if word not in allowed:
        names = ", ".join(name for name in allowed if name)
        raise _at(node, f"{what} cannot be {word!r}; it is one of {names}")
    return allowed[word]


def _is_null(node: Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_PREFIX}null"


def _wrong(node: Node, what: str, wanted: str) -> WebConfigError:
    return _at(node, f"{what} must be {wanted}")


def _at(node: Node, sentence: str) -> WebConfigError:
    return WebConfigError(f"line {node.start_mark.line + 1}: {sentence}")
