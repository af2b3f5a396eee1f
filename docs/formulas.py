"""Formulas as MathML, which browsers draw by themselves: the site needs no script from elsewhere."""

from docutils import nodes
from latex2mathml import converter


def inline(translator, node: nodes.math) -> None:
    translator.body.append(converter.convert(node.astext()))
    raise nodes.SkipNode


def block(translator, node: nodes.math_block) -> None:
    formula = converter.convert(node.astext(), display="block")
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode
