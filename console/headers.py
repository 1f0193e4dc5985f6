"""What every answer tells a browser about itself: what a page may load, who may frame it, what leaves with a link."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        # The console's pages are Vue templates that the browser compiles.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""Of what is no page: were it opened as one, it could do nothing."""
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    # Nothing to other sites. Not `no-referrer`: then a form of ours would be posted with `Origin: null`, and a browser
    # says nothing else about where it was asked when there is no TLS.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def with_headers(send: Send) -> Send:
    """`send` that adds them where the answer has not said otherwise."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers.setdefault(name, value)
            is_page = headers.get("content-type", "").startswith("text/html")
            headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
            if is_page:
                headers.setdefault("Cache-Control", "private, no-store")
        await send(message)

    return sending
