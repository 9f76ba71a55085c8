"""A text as a file that a page offers, without a server and without a network."""

from __future__ import annotations

import base64
from html import escape


def download_link(name: str, text: str) -> str:
    """HTML of a link that holds the whole file; keep it to some hundred kB."""
    kind = {"csv": "text/csv", "tex": "application/x-tex"}[name.rpartition(".")[2]]
    content = base64.b64encode(text.encode()).decode()
    return (
        f'<a download="{escape(name)}" '
        f'href="data:{kind};charset=utf-8;base64,{content}">{escape(name)}</a>'
    )
