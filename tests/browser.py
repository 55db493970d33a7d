"""A real headless Chromium for tests of pages: what it made of a page, as text or as PDF, and an audit within it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)

AUDIT = """
const problems = [];
const say = (what, one) => problems.push(
  what + ': ' + (one.textContent || one.getAttribute('aria-label') || one.outerHTML).trim().slice(0, 60));
const numbers = colour => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const ratio = (one, other) => {
  const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
const ground = one => {
  for (; one; one = one.parentElement) {
    const colour = numbers(getComputedStyle(one).backgroundColor);
    if (colour.length < 4 || colour[3] > 0.99) return colour;
  }
  return [255, 255, 255];
};
const visible = one => one.getClientRects().length > 0;
const all = selector => [...document.querySelectorAll(selector)];
all('details').forEach(one => { one.open = true; });
let texts = 0, shapes = 0, reached = 0;
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const one = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || !visible(one) || one.closest('script, style')) continue;
  const style = getComputedStyle(one);
  texts += 1;
  if (ratio(numbers(one.closest('svg') ? style.fill : style.color), ground(one)) < 4.5) say('text contrast', one);
}
for (const one of all('svg .real:not(.pale), svg .synthetic, svg .mark, svg [class*=line], svg .edge, svg .band, '
    + 'svg .axis, svg .code, svg .chance, svg .threshold, svg .whisker, svg .real-top')) {
  const style = getComputedStyle(one);
  const paint = style.stroke !== 'none' && !one.matches('.mark') ? style.stroke : style.fill;
  shapes += 1;
  if (ratio(numbers(paint), ground(one)) < 3) say('graphic contrast', one);
}
const levels = all('h1, h2, h3, h4, h5, h6').map(one => Number(one.tagName[1]));
levels.forEach((level, index) => {
  if (level > (index ? levels[index - 1] : 0) + 1) problems.push('heading order: ' + levels.slice(0, index + 1));
});
if (levels.filter(level => level === 1).length !== 1) problems.push('not one h1');
const ids = all('[id]').map(one => one.id);
if (new Set(ids).size !== ids.length) problems.push('an id stands twice');
for (const one of all('svg')) {
  const words = one.getAttribute('aria-label') || '';
  if (one.getAttribute('role') !== 'img' || !words.match(/\\d/)) say('picture without words', one);
}
for (const one of all('table')) {
  if (!one.caption || !one.caption.textContent.trim()) say('table without caption', one);
  if ([...one.querySelectorAll('th')].some(cell => !cell.scope)) say('heading cell without scope', one);
}
for (const one of all('*')) {
  if (!['auto', 'scroll'].includes(getComputedStyle(one).overflowX) || !visible(one)) continue;
  const named = one.getAttribute('role') === 'region' && one.getAttribute('aria-label');
  if (one.tabIndex !== 0 || !named) say('scrolling without focus or name', one);
}
for (const one of all('a[href], summary, .scroll')) {
  one.focus();
  if (document.activeElement !== one) say('cannot be reached', one);
  else if (getComputedStyle(one).outlineStyle === 'none') say('focus not seen', one);
  else reached += 1;
}
for (const name of ['header', 'main', 'nav', 'footer']) if (!document.querySelector(name)) problems.push('no ' + name);
if (!document.documentElement.lang) problems.push('no language');
if (document.body.firstElementChild.getAttribute('href') !== '#verdicts') problems.push('no skip link first');
for (const one of all('a[href^="#"]')) if (!document.querySelector(one.hash)) say('leads nowhere', one);
return {problems, texts, shapes, reached};
"""
"""Runs in a page that has been loaded: what a reader with other eyes, or without a mouse, would stumble over."""

OVERFLOW = """
const frame = document.querySelector('iframe').contentDocument, width = frame.documentElement.clientWidth;
frame.querySelectorAll('details').forEach(one => { one.open = true; });
const wide = [...frame.querySelectorAll('body *')].filter(one => !one.closest('svg') && !one.closest('.scroll')
  && one.getBoundingClientRect().right > width + 0.5).map(one => one.outerHTML.slice(0, 80));
return {width, scrolled: frame.documentElement.scrollWidth, wide, tables: frame.querySelectorAll('.scroll').length};
"""


def chromium(page: Path, *flags: str) -> str:
    """What a fresh Chromium prints for a page; ``flags`` say what it is to do."""
    profile = page.with_suffix(".profile")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return done.stdout


def dumped(page: Path, text: str, *flags: str) -> str:
    """The document after loading ``text`` as ``page``."""
    page.write_text(text, encoding="utf-8")
    return chromium(page, "--dump-dom", *flags)


def without_policy(text: str) -> str:
    """The page without its content security policy, so that a test's own script may run."""
    bare, found = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert found == 1
    return bare


def asked(page: Path, text: str, script: str) -> dict[str, Any]:
    """What ``script`` returns when it runs in ``text`` after loading."""
    run = (
        "<script>addEventListener('load', () => { let said; try { said = (() => {"
        + script
        + "})(); } catch (error) { said = {problems: [String(error)]}; }"
        "const out = document.createElement('pre'); out.id = 'said-by-audit'; out.textContent = JSON.stringify(said);"
        "document.body.append(out); });</script></body>"
    )
    head, body, tail = text.rpartition("</body>")
    assert body
    dom = dumped(page, head + run + tail)
    found = re.search(r'<pre id="said-by-audit">(.*?)</pre>', dom, re.DOTALL)
    assert found, "the audit did not run"
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


def framed(text: str, width: int) -> str:
    """A page that shows ``text`` in a frame of ``width`` pixels: narrower than a window can be."""
    return (
        f'<!doctype html><title>frame</title><body><iframe width="{width}" height="900" frameborder="0" '
        f'srcdoc="{html.escape(text)}"></iframe></body>'
    )
