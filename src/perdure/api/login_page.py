"""The page to log in at, and what pages show of who has logged in."""

from html import escape

from perdure.web.tokens import Caller

__all__ = ["logged_in", "login_page"]

_FORM = """<form method="post" action="login" autocomplete="off">
<label for="token">Token</label>
<input type="password" id="token" name="token" autocomplete="off" autocapitalize="none" spellcheck="false"
  required autofocus>
<button>Log in</button>
</form>"""


def login_page(caller: Caller, *, tokens_needed: bool, problem: str | None = None) -> str:
    """Return the page's body.

    Parameters
    ----------
    caller
        Who asks for it.
    tokens_needed
        Whether the server has tokens.
    problem
        Why logging in has failed, a text; None if it hasn't been tried.
    """
    parts = ["<header>\n<h1>Log in</h1>\n</header>\n<main>"]
    if not tokens_needed:
        parts.append("<p>There is nothing to log in to: this server has no tokens, and answers without.</p>")
    else:
        if caller.by_cookie:
            parts.append(logged_in(caller))
        if problem is not None:
            parts.append(f'<p role="alert"><strong>{escape(problem)}</strong></p>')
        parts.append(
            "<p>The operator of this server has given you a token. This browser keeps a cookie in its place, "
            f"which no page of another server can use.</p>\n{_FORM}"
        )
    parts.append('<p><a href="./">Start page</a></p>\n</main>')
    return "\n".join(parts)


def logged_in(caller: Caller) -> str:
    """Return a line that says who has logged in, with a button to log out."""
    role = ", an administrator" if caller.administrator else ""
    name = f"<strong>{escape(caller.name)}</strong>{role}"
    return f'<form method="post" action="logout">Logged in as {name}. <button>Log out</button></form>'
