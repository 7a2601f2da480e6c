"""Pages: HTML that the server renders itself, with one style sheet of its own.

A page has no script and loads nothing, from here or elsewhere; its Content-Security-Policy forbids both. A
form on it can only be sent to this server.
The caller of `page` escapes every text in it.
"""

import base64
import hashlib
from html import escape
from typing import Final

from starlette.responses import Response

__all__ = ["page"]

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2327; --faint: #5a666f; --paper: #fbfbf9; --panel: #fff;
  --line: #dcdfdd; --accent: #0b6b5d;
  --get: #0b6b5d; --post: #1f5fa8; --put: #8a5a00; --delete: #a8322a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7e6; --faint: #9aa6a8; --paper: #14181a;
  --panel: #1c2225; --line: #323a3e; --accent: #5cc9b5;
  --get: #5cc9b5; --post: #7db4f2; --put: #e0b060; --delete: #f0938b; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif;
  overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
main, header, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.01em; }
h1 small { font-size: 0.95rem; font-weight: 400; color: var(--faint); margin-left: 0.4rem; }
h2 { margin: 2.25rem 0 0.75rem; font-size: 1.2rem; }
h3 { margin: 1.1rem 0 0.3rem; font-size: 0.95rem; }
p { margin: 0.5rem 0; }
a { color: var(--accent); text-underline-offset: 0.15em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.87em; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 0.8rem 1rem;
  overflow-x: auto; overflow-wrap: normal; line-height: 1.5; }
.faint { color: var(--faint); }
.address { font-size: 1.05rem; }
ul.plain { list-style: none; margin: 0; padding: 0; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
ul.panel > li { padding: 0.55rem 1rem; }
ul.panel > li + li { border-top: 1px solid var(--line); }
.names span, .names a { display: inline-block; margin-right: 0.9rem; }
nav a { display: inline-block; margin: 0.15rem 1rem 0.15rem 0; }
.links { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 0.75rem; }
.links > li { padding: 0.65rem 1rem; }
.links a { font-weight: 600; }
.links span { display: block; color: var(--faint); font-size: 0.92rem; }
details { border: 1px solid var(--line); border-radius: 6px; background: var(--panel); margin: 0.5rem 0; }
summary { cursor: pointer; padding: 0.5rem 1rem; }
summary code { font-size: 0.95em; font-weight: 600; }
summary .faint { margin-left: 0.5rem; }
details > div { padding: 0.1rem 1rem 0.9rem; border-top: 1px solid var(--line); }
.method { display: inline-block; min-width: 4rem; font-weight: 700; font-size: 0.8rem; }
.get { color: var(--get); } .post { color: var(--post); } .put, .patch { color: var(--put); }
.delete { color: var(--delete); }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.25rem 1rem;
  margin: 0.3rem 0; }
dt { font-weight: 600; } dd { margin: 0; }
input, button { font: inherit; padding: 0.35rem 0.7rem; border: 1px solid var(--line); border-radius: 6px;
  background: var(--panel); color: inherit; }
input { width: 100%; max-width: 26rem; }
button { cursor: pointer; border-color: var(--accent); color: var(--accent); }
footer { margin-top: 2.5rem; padding-bottom: 2.5rem; color: var(--faint); font-size: 0.92rem; }
@media (max-width: 34rem) { main, header, footer { padding-left: 0.9rem; padding-right: 0.9rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.5rem; }
  summary .faint { display: block; margin-left: 0; } }
"""

_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action {forms}; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # it depends on the time and on the caller
}


def page(title: str, body: str, *, form: bool = False) -> Response:
    """Return a page.

    Parameters
    ----------
    title
        Its title, a text.
    body
        What is in it, as HTML.
    form
        Whether there is a form in it. Its browser then says where a request is from, but to this server only:
        with no-referrer it would send `Origin: null` with the form.
    """
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    # Names of models are any text, also one that no encoding has.
    headers = {
        "Content-Security-Policy": _POLICY.format(forms="'self'" if form else "'none'"),
        "Referrer-Policy": "same-origin" if form else "no-referrer",
        **_HEADERS,
    }
    return Response(html.encode("utf-8", "replace"), headers=headers, media_type="text/html")
